"""Finds the linear grid that each channel of a weight lies on, from nothing but the values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# An 8-bit affine grid whose zero lies at one end has its other end this many steps away.
_STEPS_MAX = 255

# A value and the largest one are each off by half a unit in the last place, 2^-24 of themselves: with the rounding of
# this computation their ratio is off by less than four times that.
_RATIO_ERROR = 2.0**-22


def find_channel_grids(rows: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32]] | None:
    """Return integers `(C, N)` and scales `(C,)` whose float32 products are exactly these rows `(C, N)`.

    None where a row is on no grid of at most 255 steps from zero to its largest magnitude.
    """
    scales = np.ones(len(rows), dtype=np.float32)
    for index, row in enumerate(rows):
        scale = _find_scale(np.unique(row[row != 0]))
        if scale is None:
            return None
        scales[index] = scale
    integers = np.rint(rows.astype(np.float64) / scales[:, None].astype(np.float64))
    return integers.astype(np.int16), scales


def _find_scale(values: NDArray[np.float32]) -> np.float32 | None:
    """Return the largest scale of which all these values, none of them 0, are multiples; 1 for no values."""
    if values.size == 0:
        return np.float32(1)
    exact = values.astype(np.float64)
    largest = np.abs(exact).max()
    # Fewer steps than half of the values cannot hold them all.
    steps = np.arange(max(1, len(values) // 2), _STEPS_MAX + 1)[:, None]
    multiples = exact * steps / largest
    integers = np.rint(multiples)
    fits = np.all((np.abs(multiples - integers) <= _RATIO_ERROR * np.abs(integers)) & (integers != 0), axis=1)
    for row in np.flatnonzero(fits):
        near = np.float32(largest / steps[row, 0])
        below, above = np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf))
        for scale in (near, below, above):
            if np.array_equal(integers[row].astype(np.float32) * scale, values):
                return np.float32(scale)
    return None
