"""Recall@k: the share of samples that have one of their own identity among the k nearest others, by cosine.

A sample whose identity no other has asks nothing, and is left out. Of equally near ones the own identity comes last. A
vector with a NaN finds nothing. The gallery is all samples; a resample draws the questions, not the gallery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..parts import INTEGERS, NUMBERS, expect_array, expect_samples, refuse_part
from ..scale import FRACTION
from ..tallies.rows import Rows, weigh_samples
from . import Outputs, Tally, Targets, refuse_empty, refuse_unproven, take_first, take_target

IDENTITY = "identity"
"""The target: a number `(N,)` that samples share which belong together; a pair is two samples of one number."""

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (IDENTITY,)
_NAME = "recall_at_k"
# Similarities of so many samples with all others are in memory at a time: 256 of 50,000 are 100 MB.
_QUESTIONS = 256


@dataclass(frozen=True)
class Options:
    """How many of the nearest count."""

    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            message = "k of 1 or more"
            raise ValueError(message)


class _Recall:
    """Keeps the vectors: near to what, only all of them say."""

    def __init__(self, options: Options) -> None:
        self._k = options.k
        self._vectors, self._identities = Rows(), Rows()
        self._found: Optional[Tuple[NDArray[Any], NDArray[Any]]] = None

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add vectors (n, length) and identities (n,)."""
        where = f"targets: {IDENTITY}"
        identities = expect_array(_NAME, take_target(_NAME, targets, IDENTITY), where, (None,), INTEGERS)
        vectors = expect_array(
            _NAME, take_first(_NAME, outputs), "the first output", (None, self._vectors.columns), NUMBERS
        )
        expect_samples(_NAME, vectors, len(identities), "the first output")
        if not vectors.shape[1]:
            raise refuse_part(_NAME, "the first output", expected="vectors of length 1 or more", found="of length 0")
        numbers = vectors.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            self._vectors.add(numbers / np.sqrt(np.square(numbers).sum(axis=1))[:, None])
        self._identities.add(identities)
        self._found = None

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the share."""
        if not len(self._vectors):
            raise refuse_empty(_NAME)
        weights = weigh_samples(counts, len(self._vectors))
        if self._found is None:
            self._found = self._search()
        asked, found = self._found
        if not float(weights @ asked) > 0:
            raise refuse_unproven(_NAME, expected="at least two samples of one identity", found="none")
        return float(weights @ found / (weights @ asked))

    def _search(self) -> Tuple[NDArray[Any], NDArray[Any]]:
        """Return which samples ask something, and which find their own."""
        vectors, identities = self._vectors.join(), self._identities.join()
        asked, found = np.zeros(len(vectors)), np.zeros(len(vectors))
        for start in range(0, len(vectors), _QUESTIONS):
            chosen = slice(start, start + _QUESTIONS)
            near = vectors[chosen] @ vectors.T
            own = identities[chosen, None] == identities
            own[np.arange(len(near)), np.arange(start, start + len(near))] = False
            others = identities[chosen, None] != identities
            best = np.where(own & ~np.isnan(near), near, -np.inf).max(axis=1)
            # What is NaN of others is in the way, of the own identity it is nowhere.
            before = (others & (np.isnan(near) | (near >= best[:, None]))).sum(axis=1)
            asked[chosen] = own.any(axis=1)
            found[chosen] = own.any(axis=1) & (before < self._k) & np.isfinite(best)
        return asked, found


def start(options: Options) -> Tally:
    """Return a tally of nothing."""
    return _Recall(options)
