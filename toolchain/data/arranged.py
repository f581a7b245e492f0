"""Samples whose arrays come in the order of a module's inputs, whatever their order in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import TargetArray
from toolchain.data.dataset import Samples


@dataclass(frozen=True)
class Arranged:
    """A part of a data set, for what passes its arrays by position."""

    samples: Samples
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name."""
        return self.samples.targets

    @property
    def sha256(self) -> str:
        """Of the content: the order is the module's, not the data's."""
        return self.samples.sha256

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        arrays = self.samples.batch(start, stop)
        return {name: arrays[name] for name in self.names}

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the samples at the indices `(n,)`, one by one where the set knows no other way."""
        rows = [self.batch(int(index), int(index) + 1) for index in indices]
        return {name: np.concatenate([row[name] for row in rows]) for name in self.names}
