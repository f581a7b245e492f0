"""Bilinear resizing of bytes in whole numbers: the same bits in every language.

Pixels are squares, and have their values in the middle (half-pixel centres, as in ONNX's Resize and OpenCV's INTER_LINEAR).
Nothing is smoothed before: a frame that is made much smaller is sampled, not averaged (no antialiasing). Weights have 11 bits, as
OpenCV's have, and sums fit into 32 bits: 255 * 2^22 < 2^30.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from numpy.typing import NDArray

_BITS = 11
_ONE = 1 << _BITS


def resize_bilinear(
    picture: NDArray[np.uint8],
    *,
    height: int,
    width: int,
    rows_seen: slice = slice(None),
    columns_seen: slice = slice(None),
) -> NDArray[np.uint8]:
    """Return a picture (h, w, c) as (height, width, c), or those rows and columns of it that are seen."""
    rows, next_rows, down = (part[rows_seen] for part in _find_neighbours(picture.shape[0], height))
    columns, next_columns, right = (part[columns_seen] for part in _find_neighbours(picture.shape[1], width))
    numbers = picture.astype(np.int32)
    right, down = right[None, :, None], down[:, None, None]
    across: NDArray[np.int32] = numbers[:, columns] * (_ONE - right) + numbers[:, next_columns] * right
    summed: NDArray[np.int32] = across[rows] * (_ONE - down) + across[next_rows] * down
    # Rounded half up.
    return np.right_shift(summed + (1 << (2 * _BITS - 1)), 2 * _BITS).astype(np.uint8)


def _find_neighbours(source: int, size: int) -> Tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return for each of `size` pixels the two of `source` that it lies between, and the weight of the second.

    In units of 1 / (2 * size) of a pixel of the source: at = (2 * i + 1) * source - size, cut to 0 ... 2 * size * (source - 1).
    """
    unit = 2 * size
    at = np.clip((2 * np.arange(size, dtype=np.int64) + 1) * source - size, 0, unit * (source - 1))
    first = at // unit
    # Rounded half up.
    weight = ((at - first * unit) * _ONE * 2 + unit) // (2 * unit)
    return first, np.minimum(first + 1, source - 1), weight.astype(np.int32)
