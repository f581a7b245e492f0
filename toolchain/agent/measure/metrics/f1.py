"""F1 of each class, averaged over the classes that occur (macro), for one class a sample or a set of them.

scikit-learn's f1_score(average="macro", zero_division=nan). A sample with a NaN is answered by a class of its own, which
is never true. Of equal scores the first counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..scale import FRACTION
from ..scores import read_labelled_scores, read_scored_sets
from ..tallies.class_counts import NO_CLASS, ClassCounts, score_f1
from ..targets import LABELS
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (LABELS,)


@dataclass(frozen=True)
class Options:
    """When a sample has a class, where it may have several."""

    threshold: float = 0.5
    """From which score on; only for labels (N, classes)."""


class _F1(ClassCounts):
    def __init__(self, options: Options) -> None:
        super().__init__("f1", unit="sample", score=score_f1)
        self._threshold = options.threshold

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n, classes), and labels (n,) or (n, classes) of 0 and 1."""
        if getattr(targets.get(LABELS), "ndim", 1) == 2:
            self._add_sets(outputs, targets)
            return
        scores, labels = read_labelled_scores("f1", outputs, targets)
        answers = np.where(np.isnan(scores).any(axis=1), NO_CLASS, scores.argmax(axis=1))
        right = (answers == labels) & (labels >= 0)
        indices, ones, wrong = np.arange(len(labels)), np.ones(len(labels), np.int64), ~right
        true = np.stack([labels.astype(np.int64), right, right, ones], axis=1)
        predicted = np.stack([answers, 0 * ones, ones, 0 * ones], axis=1)[wrong]
        self.add_samples(len(labels), np.append(indices, indices[wrong]), np.concatenate([true, predicted]))

    def _add_sets(self, outputs: Outputs, targets: Targets) -> None:
        scores, sets = read_scored_sets("f1", outputs, targets)
        # What is NaN is answered wrongly, whatever is right.
        answers: NDArray[np.bool_] = np.where(np.isnan(scores), ~sets, scores >= self._threshold)
        indices, classes = np.nonzero(sets | answers)
        chosen, wanted = answers[indices, classes], sets[indices, classes]
        rows = np.stack([classes, chosen & wanted, chosen, wanted], axis=1).astype(np.int64)
        self.add_samples(len(sets), indices, rows)


def start(options: Options) -> Tally:
    """Return a tally of nothing."""
    return _F1(options)
