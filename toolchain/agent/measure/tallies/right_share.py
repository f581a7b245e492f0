"""The share of elements, such as pixels, whose class is right."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Set, Tuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import refuse_unproven
from .ratio import Ratio


class RightShare(Ratio):
    """Two numbers of each sample are kept, and of the classes that are true the first two."""

    def __init__(self, name: str, *, unit: str) -> None:
        """Take the metric's name, and what is counted."""
        super().__init__(name, whole=f"{unit} that counts")
        self._unit = unit
        self._true: Set[int] = set()

    def add_pairs(self, pairs: Iterable[Tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Add what came out and what should have, (elements,) both, of each sample; below 0 nothing is right."""
        right, wholes = [], []
        for found, wanted in pairs:
            right.append(np.count_nonzero((found == wanted) & (found >= 0)))
            wholes.append(len(wanted))
            if len(wanted) and len(self._true) < 2:
                self._true |= {int(wanted.min()), int(wanted.max())}
        self.add_samples(np.array(right), np.array(wholes))

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the share."""
        value = super().compute(counts)
        if counts is None and len(self._true) < 2:
            expected, found = f"{self._unit}s of two classes or more", "one: a constant answer is right"
            raise refuse_unproven(self._name, expected=expected, found=found)
        return value
