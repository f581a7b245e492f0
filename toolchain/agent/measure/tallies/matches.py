"""Which detections are right, and mean average precision over them, as COCO counts (pycocotools' COCOeval).

One thing differs: of equal scores none comes before the other, so that the order of samples does not matter. COCO takes
those of the first picture first; with int8's few different scores that is chance. Without equal scores the numbers are
the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import refuse_empty, refuse_unproven
from .rows import Rows, weigh_samples

# COCOeval's Params, computed as there.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""How similar a detection has to be, one after another."""
_RECALLS = np.linspace(0.0, 1.0, 101)

Compare = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Similarities (found, true) of some of the detections of a sample and some of its truth, by their places."""


def match_greedily(
    similarity: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    left_out: Optional[NDArray[np.bool_]] = None,
) -> Tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which detections are right, and which count for nothing, (found, thresholds) both.

    similarity: (found, true), the detections from the highest score down. Each takes the most similar truth that is left;
    one that only lies in a crowd counts for nothing, and so does one, the first, of each truth that is left_out (true,).
    NaN is similar to nothing.
    """
    aside = crowd if left_out is None else crowd | left_out
    right = np.zeros((len(similarity), len(thresholds)), bool)
    ignored = right.copy()
    # Equal boxes have a similarity of 1 less a rounding.
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    taken = np.zeros((len(thresholds), similarity.shape[1]), bool)
    last = similarity.shape[1] - 1
    for place, row in enumerate(similarity):
        enough = row >= least
        free = enough & ~taken & ~aside
        right[place] = free.any(axis=1)
        spare = enough & aside & (crowd | ~taken)
        ignored[place] = ~right[place] & spare.any(axis=1)
        for usable, chosen in ((free, right[place]), (spare, ignored[place])):
            # Of equally similar ones the last, as there.
            best = last - np.where(usable, row, -1.0)[:, ::-1].argmax(axis=1)
            taken[chosen, best[chosen]] = True
    return right, ignored


@dataclass(frozen=True)
class _Arranged:
    """Detections by class, from the highest score down; classes are those with a truth, numbered from 0.

    right and wrong are (thresholds, detections).
    """

    samples: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    begins: NDArray[np.int64]
    """Where the detections of each class begin, (classes + 1,)."""
    ends: NDArray[np.int64]
    """The last detection of each run of equal scores of a class."""
    end_classes: NDArray[np.int64]
    true_samples: NDArray[np.int64]
    true_classes: NDArray[np.int64]
    classes: int
    names: NDArray[np.int64]
    """The number that each class goes by outside, (classes,)."""


class Matches:
    """Keeps of each detection its sample, class, score, and at which similarities it is right."""

    def __init__(self, name: str, *, thresholds: NDArray[np.float64] = THRESHOLDS, places: int = 100) -> None:
        """Take the metric's name, the thresholds, and how many detections of a class and sample count."""
        self._name, self._thresholds, self._places = name, thresholds, places
        self._found, self._scores, self._flags, self._true = Rows(), Rows(), Rows(), Rows()
        self._samples = 0
        self._arranged: Optional[_Arranged] = None

    def add_sample(
        self,
        *,
        scores: NDArray[Any],
        classes: NDArray[Any],
        true_classes: NDArray[Any],
        crowd: NDArray[np.bool_],
        compare: Compare,
        left_out: Optional[NDArray[np.bool_]] = None,
    ) -> None:
        """Add the detections (found,) and the truth (true,) of a sample; a NaN score is the highest, and wrong.

        left_out: truth that counts for nothing, nor does the detection that finds it.
        """
        aside = np.zeros_like(crowd) if left_out is None else left_out
        # Of one type: older numpy compares int64 with uint64 as floats.
        classes, true_classes = classes.astype(np.int64), true_classes.astype(np.int64)
        broken = np.isnan(scores)
        scores = np.where(broken, np.inf, scores).astype(np.float64)
        order = np.lexsort((-scores, classes))
        begins = np.searchsorted(classes[order], classes[order], side="left")
        kept = order[np.arange(len(order)) - begins < self._places]
        right = np.zeros((len(kept), len(self._thresholds)), bool)
        ignored = right.copy()
        for label in np.unique(true_classes):
            places, members = np.flatnonzero(classes[kept] == label), np.flatnonzero(true_classes == label)
            if len(places):
                similarity = np.where(broken[kept[places], None], -1.0, compare(kept[places], members))
                right[places], ignored[places] = match_greedily(
                    similarity, crowd[members], self._thresholds, aside[members]
                )
        sample = np.full(len(kept), self._samples)
        self._found.add(np.stack([sample, classes[kept]], axis=1))
        self._scores.add(scores[kept])
        self._flags.add(np.stack([right, ~right & ~ignored], axis=1))
        true = true_classes[~(crowd | aside)]
        self._true.add(np.stack([np.full(len(true), self._samples), true], axis=1))
        self._samples += 1
        self._arranged = None

    def _arrange(self) -> _Arranged:
        found, true, flags = self._found.join(), self._true.join(), self._flags.join()
        names, true_classes = np.unique(true[:, 1], return_inverse=True)
        classes = np.searchsorted(names, found[:, 1])
        known = classes < len(names)
        known[known] = names[classes[known]] == found[known, 1]
        scores = self._scores.join()
        order = np.lexsort((-scores, classes))
        order = order[known[order]]
        classes, scores = classes[order], scores[order]
        changes = (np.diff(classes) != 0) | (scores[1:] != scores[:-1])
        ends = np.flatnonzero(np.append(changes, True)) if len(order) else order
        return _Arranged(
            samples=found[order, 0],
            right=np.ascontiguousarray(flags[order, 0].T),
            wrong=np.ascontiguousarray(flags[order, 1].T),
            begins=np.searchsorted(classes, np.arange(len(names) + 1)),
            ends=ends,
            end_classes=classes[ends],
            true_samples=true[:, 0],
            true_classes=true_classes.reshape(-1),
            classes=len(names),
            names=names,
        )

    def _count(self, counts: Optional[NDArray[np.int64]]) -> Tuple[_Arranged, NDArray[np.int64], NDArray[np.int64]]:
        """Return what there is, how often each sample counts, and how many true ones each class then has."""
        if not self._samples:
            raise refuse_empty(self._name)
        weights = weigh_samples(counts, self._samples).astype(np.int64)
        if self._arranged is None:
            self._arranged = self._arrange()
        arranged = self._arranged
        each = np.bincount(arranged.true_classes, weights[arranged.true_samples], minlength=arranged.classes)
        if not bool((each > 0).any()):
            raise refuse_unproven(self._name, expected="at least one object that is no crowd", found="none")
        return arranged, weights, each.astype(np.int64)

    def measure_precision(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the precision, averaged over 101 recalls, the thresholds and the classes with a truth."""
        arranged, weights, true = self._count(counts)
        return float(np.mean(self._average_each(arranged, weights, true)[:, true > 0]))

    def measure_precision_by_class(self) -> Dict[int, float]:
        """Return what measure_precision averages, of each class with a truth, by its number."""
        arranged, weights, true = self._count(None)
        means = self._average_each(arranged, weights, true).mean(axis=0)
        return {int(arranged.names[index]): float(means[index]) for index in np.flatnonzero(true > 0)}

    def _average_each(
        self, arranged: _Arranged, weights: NDArray[np.int64], true: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the average precision (thresholds, classes)."""
        needed = _count_needed(np.maximum(true, 1))
        return np.array(
            [
                _average_precision(arranged, *_accumulate(arranged, weights, index), needed)
                for index in range(len(self._thresholds))
            ]
        )

    def measure_recall(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the share of the truth that is found, averaged over the thresholds and the classes with a truth."""
        arranged, weights, true = self._count(counts)
        right = np.cumsum(weights[arranged.samples] * arranged.right, axis=1)
        sums = np.concatenate([np.zeros((len(self._thresholds), 1), np.int64), right], axis=1)[:, arranged.begins]
        return float(np.mean(np.diff(sums, axis=1)[:, true > 0] / true[true > 0]))


def _accumulate(
    arranged: _Arranged, weights: NDArray[np.int64], index: int
) -> Tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many right and wrong detections of its class lie at or above each end, for the threshold at the index."""
    each = weights[arranged.samples]
    sums = []
    for flags in (arranged.right, arranged.wrong):
        total = np.concatenate([[0], np.cumsum(each * flags[index])])
        sums.append(total[arranged.ends + 1] - total[arranged.begins[arranged.end_classes]])
    return sums[0], sums[1]


def _count_needed(true: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the fewest right detections whose share of the truth is each of the recalls, (classes, recalls).

    The share is compared as a float, as COCOeval does, so that 1/10 is the recall 0.1 or not as there.
    """
    each = true[:, None]
    needed = np.ceil(_RECALLS * each).astype(np.int64)
    needed -= (needed > 0) & ((needed - 1) / each >= _RECALLS)
    needed += needed / each < _RECALLS
    return needed


def _average_precision(
    arranged: _Arranged, right: NDArray[np.int64], wrong: NDArray[np.int64], needed: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the average precision of each class, of the sums at its ends."""
    if not len(right):
        return np.zeros(arranged.classes)
    precision = right / np.maximum(right + wrong, 1)
    # The highest precision at this recall or a larger one, in one pass over all classes: what is added to each keeps the
    # highest of the classes behind it below its own.
    raised = precision + 2.0 * (arranged.classes - arranged.end_classes)
    highest = np.maximum.accumulate(raised[::-1])[::-1] - 2.0 * (arranged.classes - arranged.end_classes)
    # The first end with as many right ones, in one search: whole numbers, those of a class behind those of the one before.
    size = int(max(right.max(), needed.max())) + 1
    places = np.searchsorted(
        arranged.end_classes * size + right, np.arange(arranged.classes)[:, None] * size + needed, side="left"
    )
    behind = np.searchsorted(arranged.end_classes, np.arange(arranged.classes), side="right")
    reached = places < behind[:, None]
    found: NDArray[np.float64] = np.where(reached, highest[np.minimum(places, len(highest) - 1)], 0.0).mean(axis=1)
    return found
