"""Percentile: the range that holds 99.999 % of the values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.lower.calibration.observation import BINS_PER_SIDE, Observation
from toolchain.lower.ranges import TensorRange

COUNTS = True

# ONNX Runtime's default, a percentile of 99.999.
_DROPPED_SHARE = 1e-5


def choose_range(observation: Observation, *, symmetric: bool) -> TensorRange:
    """Return the narrowest range of whole bins that leaves out at most the share, half of it on each side.

    A tensor of one sign has one tail, which gets the whole share. Symmetric: the percentile of the magnitudes.
    """
    counts = observation.counts
    positive, negative = counts[BINS_PER_SIDE:], counts[BINS_PER_SIDE - 1 :: -1]
    dropped = _DROPPED_SHARE * float(counts.sum())
    if symmetric:
        largest = max(-observation.low, observation.high, 0.0)
        high = min(_edge(positive + negative, dropped) * observation.width, largest)
        return TensorRange(low=-high, high=high)
    if observation.low < 0.0 < observation.high:
        dropped /= 2
    return TensorRange(
        low=max(-_edge(negative, dropped) * observation.width, min(observation.low, 0.0)),
        high=min(_edge(positive, dropped) * observation.width, max(observation.high, 0.0)),
    )


def _edge(side: NDArray[np.int64], dropped: float) -> int:
    """Return how many bins of one side, from zero outwards, leave at most `dropped` values beyond them."""
    beyond = np.cumsum(side[::-1])
    return int(side.size - np.searchsorted(beyond, dropped, side="right"))
