"""Samples whose arrays come in the order of a module's inputs, whatever their order in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import Samples


@dataclass(frozen=True)
class Arranged:
    """A part of a data set, for what passes its arrays by position."""

    samples: Samples
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The class of each sample `(n,)`, None where there are none."""
        return self.samples.labels

    @property
    def sha256(self) -> str:
        """Of the content: the order is the module's, not the data's."""
        return self.samples.sha256

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        arrays = self.samples.batch(start, stop)
        return {name: arrays[name] for name in self.names}
