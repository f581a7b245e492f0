"""The task metric of each class, of the user's own model and of a payload: which class paid for the speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ..errors import ToolchainError
from .checked_metric import CheckedTally

# COCO has 80, ImageNet 1,000: of more the worst are told.
CLASSES_MAX = 200


@dataclass(frozen=True)
class ClassScore:
    """The metric of one class, by its number."""

    number: int
    reference: float
    deployed: float


def list_class_scores(reference: CheckedTally, deployed: CheckedTally) -> Tuple[ClassScore, ...]:
    """Return the scores of the classes that both know, by number; nothing where the metric has none for each class."""
    try:
        before, after = reference.compute_by_class(), deployed.compute_by_class()
    except ToolchainError:  # it explains a metric, whose own number the gates have
        return ()
    scores = [ClassScore(number, before[number], after[number]) for number in sorted(set(before) & set(after))]
    worst = sorted(scores, key=lambda score: -abs(score.deployed - score.reference))[:CLASSES_MAX]
    return tuple(sorted(worst, key=lambda score: score.number))
