"""Frames for golden pairs: ramps and noise, which show every rounding and every channel that is out of its place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw_frame(height: int, width: int, channels: int, *, dtype: str) -> NDArray[Any]:
    """Return a frame (height, width, channels), the same every time.

    Its channels differ, and so do its left and right, top and bottom. The left third is noise. Values of a byte lie between
    0 and 255, of floats too; others use their upper byte.
    """
    rows = np.arange(height, dtype=np.int64)[:, None, None] * 255 // max(1, height - 1)
    columns = np.arange(width, dtype=np.int64)[None, :, None] * 255 // max(1, width - 1)
    channel = np.arange(channels, dtype=np.int64)[None, None, :]
    ramps = (rows * (channel + 1) + columns * (3 - channel) + 50 * channel) // 4 % 256
    noise = np.random.default_rng([height, width, channels]).integers(0, 256, (height, max(1, width // 3), channels))
    ramps[:, : noise.shape[1]] = noise
    kind = np.dtype(dtype)
    if kind.itemsize == 2:
        return (ramps * (np.iinfo(kind).max // 255)).astype(kind)
    return ramps.astype(kind)
