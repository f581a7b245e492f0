"""Entropy: the range that keeps the Kullback-Leibler divergence of the quantized distribution least."""

from __future__ import annotations

import numpy as np

from toolchain.lower.calibration.observation import BINS_PER_SIDE, Observation
from toolchain.lower.calibration.search import Distribution, Floats, search_range
from toolchain.lower.ranges import TensorRange

COUNTS = True


def choose_range(observation: Observation, *, symmetric: bool) -> TensorRange:
    """Return the range of least divergence."""
    return search_range(observation, divergences, symmetric=symmetric)


def divergences(distribution: Distribution, lows: Floats, highs: Floats) -> Floats:
    """Return the divergence of the values, clipped to each range, from what its quantizer makes of them.

    As Migacz (GTC 2017) does: what lies outside of a range counts at its ends, and the bins that share a level share
    its mass evenly among those that hold any value.
    """
    padded = np.pad(distribution.counts, 1)
    counts = np.minimum(distribution.counts, np.maximum(padded[:-2], padded[2:]))
    zero = BINS_PER_SIDE
    total = counts.sum()
    if total == 0.0:
        return np.zeros_like(lows)
    mass = np.concatenate(([0.0], np.cumsum(counts)))
    filled = np.concatenate(([0], np.cumsum(counts > 0)))
    own = np.concatenate(([0.0], np.cumsum(_xlogx(counts))))
    bins = counts.size
    starts = np.clip(np.floor(lows / distribution.width) + zero, 0, bins - 1).astype(np.intp)
    stops = np.clip(np.floor(highs / distribution.width) + zero + 1, 1, bins).astype(np.intp)
    shares = np.arange(distribution.levels + 1)
    borders = starts[:, None] + (stops - starts)[:, None] * shares // distribution.levels
    inside = np.diff(mass[borders], axis=1)
    occupied = np.diff(filled[borders], axis=1).astype(np.float64)
    left, right = mass[starts], total - mass[stops]
    first, last = counts[starts], counts[stops - 1]
    occupied[:, 0] += (first == 0) & (left > 0)
    occupied[:, -1] += (last == 0) & (right > 0)
    reference = inside.copy()
    reference[:, 0] += left
    reference[:, -1] += right
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.where(reference > 0, reference * np.log(inside / occupied), 0.0).sum(axis=1)
        reference_log = (
            own[stops] - own[starts] + _xlogx(first + left) - _xlogx(first) + _xlogx(last + right) - _xlogx(last)
        )
        result: Floats = (reference_log - spread) / total - np.log(total) + np.log(mass[stops] - mass[starts])
    return np.where(np.isnan(result), np.inf, result)


def _xlogx(values: Floats) -> Floats:
    return values * np.log(np.where(values > 0, values, 1.0))
