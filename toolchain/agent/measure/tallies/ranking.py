"""Samples in the order of their scores, of which some are positive: what AUC and average precision are computed of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """Samples from the highest score down: their places, which are positive, and where each run of equal scores ends."""

    order: NDArray[np.int64]
    positive: NDArray[np.bool_]
    ends: NDArray[np.int64]

    def accumulate(self, weights: NDArray[np.float64]) -> Tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how much of positive and negative weight lies at or above each score, from the highest down.

        Of equal scores none comes before the other: a threshold cannot part them.
        """
        ordered = weights[self.order]
        positives = np.cumsum(np.where(self.positive, ordered, 0.0))[self.ends]
        negatives = np.cumsum(np.where(self.positive, 0.0, ordered))[self.ends]
        return positives, negatives


def rank_samples(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Ranking:
    """Return the ranking of scores (n,); a NaN is as wrong as can be: last where positive, else first."""
    known = np.where(np.isnan(scores), np.where(positive, -np.inf, np.inf), scores)
    order = np.argsort(-known, kind="stable")
    ordered = known[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) if len(order) else order
    return Ranking(order=order, positive=positive[order], ends=ends)
