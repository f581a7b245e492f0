"""Finds the clipping range of least cost on a histogram: a coarse grid over both bounds, then finer ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.lower.calibration.observation import BINS_PER_SIDE, Observation
from toolchain.lower.ranges import TensorRange

Floats = NDArray[np.float64]

# The coarse grid: 16 bounds from the observed one down to 1/32 of it, a third of an octave apart. Below 1/32 the
# histogram has fewer bins than the quantizer has levels, and no cost computed on it means anything.
_COARSE = np.exp2(-np.linspace(0.0, 5.0, 16))
# A finer grid has 9 bounds between the neighbours of the best so far; the second is 1.5 % apart.
_FINE_POINTS = 9
_FINE_ROUNDS = 2


@dataclass(frozen=True)
class Distribution:
    """A histogram, and the integers that shall represent it.

    counts: (2 · BINS_PER_SIDE,), bins of `width`, the one that starts at 0 is BINS_PER_SIDE; low ≤ 0 ≤ high are the
    bounds of all values; levels: how many integers represent [low, high].
    """

    counts: Floats
    width: float
    low: float
    high: float
    levels: int


Cost = Callable[[Distribution, Floats, Floats], Floats]
"""(distribution, lows (M,), highs (M,)) -> the cost of each of M ranges, (M,)."""


def search_range(observation: Observation, cost: Cost, *, symmetric: bool) -> TensorRange:
    """Return the range of least cost inside the bounds observed; of equal ones, the widest."""
    if symmetric:
        _, high = _search(_fold(observation), cost)
        return TensorRange(low=-high, high=high)
    counts = observation.counts.astype(np.float64)
    low, high = min(observation.low, 0.0), max(observation.high, 0.0)
    low, high = _search(Distribution(counts, observation.width, low, high, levels=256), cost)
    return TensorRange(low=low, high=high)


def _fold(observation: Observation) -> Distribution:
    """Return the distribution of magnitudes: a symmetric quantizer treats x and -x alike, with 0 ... 127 for each."""
    counts = np.zeros(2 * BINS_PER_SIDE)
    counts[BINS_PER_SIDE:] = observation.counts[BINS_PER_SIDE:] + observation.counts[BINS_PER_SIDE - 1 :: -1]
    high = max(-observation.low, observation.high, 0.0)
    return Distribution(counts, observation.width, 0.0, high, levels=128)


def _search(distribution: Distribution, cost: Cost) -> tuple[float, float]:
    if distribution.low == distribution.high:
        return 0.0, 0.0
    low_shares, high_shares = _COARSE, _COARSE
    low_share, high_share = 1.0, 1.0
    for remaining in range(_FINE_ROUNDS, -1, -1):
        low_grid, high_grid = (
            grid.reshape(-1)
            for grid in np.meshgrid(
                low_shares if distribution.low < 0.0 else np.ones(1),
                high_shares if distribution.high > 0.0 else np.ones(1),
                indexing="ij",
            )
        )
        costs = cost(distribution, low_grid * distribution.low, high_grid * distribution.high)
        best = int(np.argmin(costs))
        low_share, high_share = float(low_grid[best]), float(high_grid[best])
        if remaining:
            low_shares, high_shares = _refine(low_shares, low_share), _refine(high_shares, high_share)
    return low_share * distribution.low, high_share * distribution.high


def _refine(shares: Floats, best: float) -> Floats:
    """Return a finer grid between the neighbours of the best; `shares` descend."""
    index = int(np.argmin(np.abs(shares - best)))
    first, last = shares[max(index - 1, 0)], shares[min(index + 1, shares.size - 1)]
    return np.linspace(first, last, _FINE_POINTS)
