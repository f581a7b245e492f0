"""Mean absolute error over all elements of all samples (scikit-learn's mean_absolute_error). A NaN is infinitely wrong."""

from __future__ import annotations

import math

import numpy as np

from ..scale import Scale
from ..tallies.differences import VALUES, read_differences
from ..tallies.ratio import Ratio
from . import Outputs, Tally, Targets

SCALE = Scale(unit="", worst=math.inf, best=0.0)
OUTPUTS = ()
TARGETS = (VALUES,)


class _Errors(Ratio):
    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add outputs (n, ...) and values (n, ...)."""
        differences, _ = read_differences("mae", outputs, targets)
        self.add_samples(np.abs(differences).sum(axis=1), np.full(len(differences), differences.shape[1]))


def start() -> Tally:
    """Return a tally of nothing."""
    return _Errors("mae")
