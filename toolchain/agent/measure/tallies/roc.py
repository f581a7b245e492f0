"""The area under the ROC curve of anomaly scores: all of it, or the part of few false alarms."""

from __future__ import annotations

from typing import Optional

import numpy as np
from numpy.typing import NDArray

from ..metrics import Outputs, Targets, refuse_empty, refuse_unproven, take_first, take_target
from ..parts import NUMBERS, expect_array, expect_samples, refuse_part
from .ranking import Ranking, rank_samples
from .rows import Rows, weigh_samples

ANOMALOUS = "anomalous"
"""The target: 1 for each sample that is not normal, else 0 `(N,)`."""


class RocArea:
    """Keeps the score of each sample."""

    def __init__(self, name: str, false_alarms_max: float = 1.0) -> None:
        """Take the metric's name, and up to which rate of false alarms the area is taken."""
        self._name, self._max = name, false_alarms_max
        self._scores, self._anomalous = Rows(), Rows()
        self._ranking: Optional[Ranking] = None

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n,) or (n, 1), higher where less normal, and who is anomalous (n,); NaN is as wrong as can be."""
        where = f"targets: {ANOMALOUS}"
        truth = expect_array(self._name, take_target(self._name, targets, ANOMALOUS), where, (None,), "biu")
        if bool(((truth != 0) & (truth != 1)).any()):
            raise refuse_part(self._name, where, expected="0 for normal and 1 for anomalous", found="other numbers")
        first = take_first(self._name, outputs)
        flat = first.reshape(-1) if first.ndim and first.size == len(first) else first
        scores = expect_array(self._name, flat, "the first output", (None,), NUMBERS)
        expect_samples(self._name, scores, len(truth), "the first output")
        self._scores.add(scores.astype(np.float64))
        self._anomalous.add(truth.astype(bool))
        self._ranking = None

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the area, standardized by McClish where it is a part: 0.5 for chance, 1 for no error."""
        if not len(self._scores):
            raise refuse_empty(self._name)
        if self._ranking is None:
            self._ranking = rank_samples(self._scores.join(), self._anomalous.join())
        found, alarms = self._ranking.accumulate(weigh_samples(counts, len(self._scores)))
        if not (found[-1] > 0 and alarms[-1] > 0):
            kinds = f"{found[-1]:.0f} anomalous, {alarms[-1]:.0f} normal"
            raise refuse_unproven(self._name, expected="normal samples and anomalous ones", found=kinds)
        detected = np.concatenate([[0.0], found / found[-1]])
        alarmed = np.concatenate([[0.0], alarms / alarms[-1]])
        if self._max >= 1.0:
            return _integrate(alarmed, detected)
        stop = int(np.searchsorted(alarmed, self._max, side="right"))
        last = float(np.interp(self._max, alarmed[stop - 1 : stop + 1], detected[stop - 1 : stop + 1]))
        area = _integrate(np.append(alarmed[:stop], self._max), np.append(detected[:stop], last))
        # McClish 1989, as scikit-learn's roc_auc_score(max_fpr=...): between chance and the whole part.
        chance = 0.5 * self._max**2
        return 0.5 * (1.0 + (area - chance) / (self._max - chance))


def _integrate(across: NDArray[np.float64], heights: NDArray[np.float64]) -> float:
    return float(np.sum(np.diff(across) * (heights[1:] + heights[:-1]) / 2.0))
