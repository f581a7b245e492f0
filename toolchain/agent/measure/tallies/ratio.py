"""Ratios of two sums over samples: shares of what is right, errors for each element."""

from __future__ import annotations

import math
from typing import Any, Callable, Optional

import numpy as np
from numpy.typing import NDArray

from ..metrics import refuse_empty, refuse_unproven
from .rows import Rows, sum_weighted, weigh_samples


class Ratio:
    """The sum of a part of each sample over the sum of its whole; two numbers a sample are kept."""

    def __init__(self, name: str, *, whole: str = "sample", finish: Callable[[float], float] = float) -> None:
        """Take the metric's name, what the wholes count, and what becomes of the ratio."""
        self._name, self._whole, self._finish = name, whole, finish
        self._rows = Rows()

    def add_samples(self, parts: NDArray[Any], wholes: Optional[NDArray[Any]] = None) -> None:
        """Add the parts and the wholes (n,) of samples; without wholes each is 1. A part that is NaN is infinite."""
        numbers = np.asarray(parts, dtype=np.float64)
        rows = np.ones((len(numbers), 2))
        rows[:, 0] = np.where(np.isnan(numbers), math.inf, numbers)
        if wholes is not None:
            rows[:, 1] = wholes
        self._rows.add(rows)

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the ratio of the samples."""
        if not len(self._rows):
            raise refuse_empty(self._name)
        part, whole = sum_weighted(weigh_samples(counts, len(self._rows)), self._rows.join())
        if not whole > 0:
            raise refuse_unproven(self._name, expected=f"at least one {self._whole}", found="none")
        return self._finish(float(part / whole))


def take_root(ratio: float) -> float:
    """Return the square root, for errors that were added as squares."""
    return math.sqrt(ratio)
