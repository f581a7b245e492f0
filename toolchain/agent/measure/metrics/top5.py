"""Top-5 accuracy: the share of samples whose label is among the five largest scores.

Of equal scores the label's comes last: a model that gives all classes one score has nothing right.
"""

from __future__ import annotations

import numpy as np

from ...errors import ExitCode, ToolchainError
from ..scale import FRACTION
from ..scores import read_labelled_scores
from ..tallies.hits import Hits
from ..targets import LABELS
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (LABELS,)

_PLACES = 5


class _Hits(Hits):
    """Counts the samples whose label has one of the first five places."""

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n, classes), or (n, classes, 1, 1), and labels (n,); a sample with a NaN is wrong."""
        scores, labels = read_labelled_scores("top5", outputs, targets)
        classes = scores.shape[1]
        if classes < _PLACES:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "top5 asks nothing of fewer than five classes",
                where="outputs",
                expected=f"{_PLACES} classes or more",
                found=str(classes),
                fix="use the metric top1",
            )
        known = (labels >= 0) & (labels < classes)  # a label that no score belongs to is missed
        own = scores[np.arange(len(labels)), np.where(known, labels, 0)]
        places = np.count_nonzero(scores >= own[:, None], axis=1)  # the label's own score is one of them
        self.add_hits(known & (places <= _PLACES) & ~np.isnan(scores).any(axis=1), labels)


def start() -> Tally:
    """Return a tally of nothing."""
    return _Hits("top5")
