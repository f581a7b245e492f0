"""Average precision of each class, averaged over the classes that a sample has: the area under precision over recall.

scikit-learn's average_precision_score(average="macro") over the classes with a positive. Equal scores share one threshold.
A NaN is ranked as wrongly as can be.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from numpy.typing import NDArray

from ..parts import refuse_part
from ..scale import FRACTION
from ..scores import read_labelled_scores, read_scored_sets
from ..tallies.ranking import Ranking, rank_samples
from ..tallies.rows import Rows, weigh_samples
from ..targets import LABELS
from . import Outputs, Tally, Targets, refuse_empty, refuse_unproven

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (LABELS,)
_NAME = "average_precision"


class _AveragePrecision:
    """Keeps the scores."""

    def __init__(self) -> None:
        self._scores, self._sets = Rows(), Rows()
        self._rankings: Optional[List[Ranking]] = None

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n, classes), and labels (n,) or (n, classes) of 0 and 1."""
        if getattr(targets.get(LABELS), "ndim", 1) == 2:
            scores, sets = read_scored_sets(_NAME, outputs, targets)
        else:
            scores, labels = read_labelled_scores(_NAME, outputs, targets)
            classes = scores.shape[1]
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
                found = f"{labels.min()} to {labels.max()}"
                raise refuse_part(_NAME, f"targets: {LABELS}", expected=f"classes 0 to {classes - 1}", found=found)
            sets = labels[:, None] == np.arange(classes)
        if self._scores.columns not in (None, scores.shape[1]):
            expected = f"{self._scores.columns} classes, as before"
            raise refuse_part(_NAME, "the first output", expected=expected, found=str(scores.shape[1]))
        self._scores.add(scores)
        self._sets.add(sets)
        self._rankings = None

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the mean over classes."""
        if not len(self._scores):
            raise refuse_empty(_NAME)
        weights = weigh_samples(counts, len(self._scores))
        if self._rankings is None:
            columns = zip(self._scores.join().T, self._sets.join().T)  # noqa: B905 - Python 3.8 has no strict
            self._rankings = [rank_samples(scores, sets) for scores, sets in columns]
        found = []
        for ranking in self._rankings:
            positives, negatives = ranking.accumulate(weights)
            if positives[-1] > 0:
                precision = positives / np.maximum(positives + negatives, 1.0)
                found.append(float(np.sum(np.diff(positives, prepend=0.0) * precision) / positives[-1]))
        if not found:
            raise refuse_unproven(_NAME, expected="at least one sample that has a class", found="none")
        return float(np.mean(found))


def start() -> Tally:
    """Return a tally of nothing."""
    return _AveragePrecision()
