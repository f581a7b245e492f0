"""The share of samples that are right, and that of the samples of each class."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
from numpy.typing import NDArray

from .ratio import Ratio
from .rows import Rows


class Hits(Ratio):
    """Keeps of each sample its label and whether it is right."""

    def __init__(self, name: str) -> None:
        """Take the metric's name."""
        super().__init__(name)
        self._labels = Rows()

    def add_hits(self, right: NDArray[np.bool_], labels: NDArray[Any]) -> None:
        """Add which samples are right (n,), and their labels (n,)."""
        self.add_samples(right)
        self._labels.add(labels.astype(np.int64))

    def compute_by_class(self) -> Dict[int, float]:
        """Return the share that is right of the samples of each label."""
        if not len(self._labels):
            return {}
        right, labels = self._rows.join()[:, 0], self._labels.join()
        numbers, groups = np.unique(labels, return_inverse=True)
        shares = np.bincount(groups.reshape(-1), right) / np.bincount(groups.reshape(-1))
        return dict(zip(numbers.tolist(), shares.tolist()))  # noqa: B905 - Python 3.8 has no strict
