"""Rows of samples that come batch by batch, and how often each sample counts."""

from __future__ import annotations

from typing import Any, List, Optional

import numpy as np
from numpy.typing import NDArray


class Rows:
    """Arrays `(n, ...)`, joined along the first axis when they are asked for."""

    def __init__(self) -> None:
        self._parts: List[NDArray[Any]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def columns(self) -> Optional[int]:
        """The length of the second axis; None before any rows."""
        return int(self._parts[0].shape[1]) if self._parts else None

    def add(self, rows: NDArray[Any]) -> None:
        """Add rows; what is kept is a copy, since a batch may lie in memory that the next one is written to."""
        self._parts.append(np.array(rows))
        self._length += len(rows)

    def join(self) -> NDArray[Any]:
        """Return all rows in the order in which they were added; raises ValueError before any was."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]


def weigh_samples(counts: Optional[NDArray[np.int64]], samples: int) -> NDArray[np.float64]:
    """Return how often each of the samples counts, (samples,); raises ValueError for counts that are none of theirs."""
    if counts is None:
        return np.ones(samples)
    array = np.asarray(counts)
    if array.shape != (samples,) or array.dtype.kind not in "iu" or bool((array < 0).any()):
        message = (
            f"counts are {array.dtype} of shape {array.shape}, not a whole number >= 0 for each of {samples} samples"
        )
        raise ValueError(message)
    return array.astype(np.float64)


def sum_weighted(weights: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of values (n, ...) over the samples; one that does not count adds nothing, an infinite one neither."""
    chosen = weights > 0
    total: NDArray[np.float64] = weights[chosen] @ values[chosen]
    return total
