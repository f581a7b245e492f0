"""Top-1 accuracy: the share of samples whose largest score is that of the label; of equal scores the first counts."""

from __future__ import annotations

import numpy as np

from ..scale import FRACTION
from ..scores import read_labelled_scores
from ..targets import LABELS
from . import Outputs, Tally, Targets, refuse_empty

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (LABELS,)


class _Hits:
    """Counts the samples that are right."""

    def __init__(self) -> None:
        self._samples = 0
        self._hits = 0

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n, classes), or (n, classes, 1, 1), and labels (n,)."""
        scores, labels = read_labelled_scores("top1", outputs, targets)
        self._samples += len(labels)
        right = (scores.argmax(axis=1) == labels) & ~np.isnan(scores).any(axis=1)
        self._hits += int(np.count_nonzero(right))

    def compute(self) -> float:
        """Return the accuracy."""
        if not self._samples:
            raise refuse_empty("top1")
        return self._hits / self._samples


def start() -> Tally:
    """Return a tally of nothing."""
    return _Hits()
