"""R²: the share of the values' variance that the model explains, averaged over their elements.

scikit-learn's r2_score(multioutput="uniform_average"). Values that do not vary prove nothing. A NaN is infinitely wrong,
and R² then has no value.
"""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from ..parts import refuse_part
from ..scale import Scale
from ..tallies.differences import VALUES, read_differences
from ..tallies.rows import Rows, sum_weighted, weigh_samples
from . import Outputs, Tally, Targets, refuse_empty, refuse_unproven

SCALE = Scale(unit="", worst=-math.inf, best=1.0)
OUTPUTS = ()
TARGETS = (VALUES,)


class _Explained:
    """Keeps the values and the squared errors of each sample."""

    def __init__(self) -> None:
        self._squares, self._values = Rows(), Rows()

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add outputs (n, ...) and values (n, ...)."""
        differences, values = read_differences("r2", outputs, targets)
        if self._values.columns not in (None, values.shape[1]):
            expected = f"{self._values.columns} values a sample, as before"
            raise refuse_part("r2", f"targets: {VALUES}", expected=expected, found=str(values.shape[1]))
        squares = np.square(differences)
        self._squares.add(np.where(np.isnan(squares), math.inf, squares))
        self._values.add(values)

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the mean over elements."""
        if not len(self._values):
            raise refuse_empty("r2")
        weights, values = weigh_samples(counts, len(self._values)), self._values.join()
        total = max(float(weights.sum()), 1.0)
        spread = weights @ np.square(values - (weights @ values) / total)
        # What is left of equal values is their rounding: 64 steps of float64 of the largest.
        smallest = total * np.square(64 * np.finfo(np.float64).eps * np.abs(values).max(axis=0))
        if not bool((spread > smallest).all()):
            raise refuse_unproven("r2", expected="values that differ from sample to sample", found="equal ones")
        return float(np.mean(1.0 - sum_weighted(weights, self._squares.join()) / spread))


def start() -> Tally:
    """Return a tally of nothing."""
    return _Explained()
