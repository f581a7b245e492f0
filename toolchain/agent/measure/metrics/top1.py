"""Top-1 accuracy: the share of samples whose largest score is that of the label; of equal scores the first counts."""

from __future__ import annotations

import numpy as np

from ..scale import FRACTION
from ..scores import read_labelled_scores
from ..tallies.hits import Hits
from ..targets import LABELS
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (LABELS,)


class _Hits(Hits):
    """Counts the samples that are right."""

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n, classes), or (n, classes, 1, 1), and labels (n,)."""
        scores, labels = read_labelled_scores("top1", outputs, targets)
        right = (scores.argmax(axis=1) == labels) & ~np.isnan(scores).any(axis=1)
        self.add_hits(right, labels)


def start() -> Tally:
    """Return a tally of nothing."""
    return _Hits("top1")
