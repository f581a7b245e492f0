"""Counts for each class: how often it was predicted, how often it was true, how often both.

A class is a number that occurs, whatever its size: nothing here is allocated by the largest of them.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import refuse_empty, refuse_unproven
from .rows import Rows, weigh_samples

NO_CLASS = -1
"""What a NaN score predicts. It is never right, and neither is any number below 0, which decoders mean the same by."""
_FEW = 1024
Score = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""The score of each class, from how often it was both, predicted and true."""


def score_f1(
    both: NDArray[np.float64], predicted: NDArray[np.float64], true: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return F1 = Dice = 2 TP / (2 TP + FP + FN) of each class."""
    scores: NDArray[np.float64] = 2 * both / (predicted + true)
    return scores


def score_iou(
    both: NDArray[np.float64], predicted: NDArray[np.float64], true: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return IoU = TP / (TP + FP + FN) of each class."""
    scores: NDArray[np.float64] = both / (predicted + true - both)
    return scores


def count_pairs(predicted: NDArray[Any], true: NDArray[Any]) -> NDArray[np.int64]:
    """Return rows (class, both, predicted, true) of the classes in two arrays (n,) of int64."""
    if all(not len(array) or 0 <= int(array.min()) <= int(array.max()) < _FEW for array in (predicted, true)):
        # Without sorting: a tenth of the time for the pixels of a picture.
        sums = [np.bincount(array, minlength=_FEW) for array in (predicted[predicted == true], predicted, true)]
        occurs = np.flatnonzero(sums[1] + sums[2])
        return np.stack([occurs, *(each[occurs] for each in sums)], axis=1)
    classes, found = np.unique(np.concatenate([predicted, true]), return_inverse=True)
    own, others = found.reshape(-1)[: len(predicted)], found.reshape(-1)[len(predicted) :]
    right = own[(own == others) & (predicted >= 0)]
    sums = [np.bincount(numbers, minlength=len(classes)) for numbers in (right, own, others)]
    return np.stack([classes.astype(np.int64), *sums], axis=1)


class ClassCounts:
    """The mean over the classes that occur, as truth or as answer, of a score of their counts over all samples."""

    def __init__(self, name: str, *, unit: str, score: Score, true_min: int = 1) -> None:
        """Take the metric's name, what is counted, the score, and how many classes have to be true somewhere."""
        self._name, self._unit, self._score, self._true_min = name, unit, score, true_min
        self._rows, self._samples = Rows(), 0
        self._groups: Optional[Tuple[NDArray[Any], NDArray[Any]]] = None

    def add_samples(self, samples: int, indices: NDArray[Any], rows: NDArray[np.int64]) -> None:
        """Add so many samples, and rows (class, both, predicted, true), each of the sample at its index."""
        if len(rows):
            self._rows.add(np.column_stack([np.asarray(indices, np.int64) + self._samples, rows]))
        self._samples += samples
        self._groups = None

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the mean over classes."""
        scores, _, kinds = self._score_classes(counts)
        # Of a draw of the samples one class is enough: the samples themselves have more.
        if kinds < (self._true_min if counts is None else 1):
            expected = f"{self._unit}s of {self._true_min} or more classes"
            raise refuse_unproven(self._name, expected=expected, found=f"{kinds}: a constant answer is right")
        return float(np.mean(scores))

    def compute_by_class(self) -> Dict[int, float]:
        """Return the score of each class that occurs, by its number."""
        scores, classes, _ = self._score_classes(None)
        return dict(zip(classes.tolist(), scores.tolist()))  # noqa: B905 - Python 3.8 has no strict

    def _score_classes(self, counts: Optional[NDArray[np.int64]]) -> Tuple[NDArray[np.float64], NDArray[np.int64], int]:
        """Return scores and numbers of the classes that occur, and how many classes are true somewhere."""
        if not self._samples:
            raise refuse_empty(self._name)
        weights = weigh_samples(counts, self._samples)
        if not len(self._rows):
            raise refuse_unproven(self._name, expected=f"at least one {self._unit}", found="none")
        rows = self._rows.join()
        if self._groups is None:
            classes, groups = np.unique(rows[:, 1], return_inverse=True)
            self._groups = groups.reshape(-1), classes
        groups, classes = self._groups
        number = len(classes)
        each = weights[rows[:, 0]]
        both, predicted, true = (
            np.bincount(groups, each * rows[:, column], minlength=number).astype(np.float64) for column in (2, 3, 4)
        )
        occurs = predicted + true > 0
        kinds = int(np.count_nonzero(true > 0))
        return self._score(both[occurs], predicted[occurs], true[occurs]), classes[occurs], kinds
