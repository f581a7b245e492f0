"""Halves of samples: one to calibrate with, one to evaluate on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import TargetArray, take_target_rows
from toolchain.data.dataset import TrainingSamples, find_labels, find_text_reader, name_sample
from toolchain.data.drawn_rows import DrawnRows

HALVED_MIN = 16
"""Fewer samples stay together: half of them would neither calibrate nor prove anything."""


@dataclass(frozen=True)
class Subset:
    """Some samples of a part, in their order."""

    samples: TrainingSamples
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name."""
        return {name: _choose(target, self.indices) for name, target in self.samples.targets.items()}

    @property
    def sha256(self) -> str:
        """Of the content: the whole part's, and which samples are taken."""
        return hashlib.sha256(self.samples.sha256.encode() + self.indices.tobytes()).hexdigest()

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        return self.samples.take(self.indices[start:stop])

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the samples at the indices `(n,)`."""
        return self.samples.take(self.indices[indices])

    def name_sample(self, index: int) -> str:
        """Return what a sample is called in the whole part."""
        return name_sample(self.samples, int(self.indices[index]))

    @property
    def read_text(self) -> Callable[[int], str] | None:
        """What returns the text of a sample; None where they are no texts."""
        read = find_text_reader(self.samples)
        return None if read is None else lambda index: read(int(self.indices[index]))


def _choose(target: TargetArray, indices: NDArray[np.int64]) -> TargetArray:
    # Rows that are made or read when they are taken stay so.
    if isinstance(target, DrawnRows):
        return cast("TargetArray", target.choose(indices))
    return take_target_rows(target, indices)


def halve_samples(samples: TrainingSamples) -> tuple[Subset, Subset]:
    """Return two halves that share no sample, the larger first: the same for the same samples.

    Drawn, and not every other one: files often take their classes, or left and right, in turn. Each class is halved by
    itself.
    """
    count = len(samples)
    classes = find_labels(samples)
    labels = np.zeros(count, dtype=np.int64) if classes is None else classes
    drawn = np.random.default_rng(0).permutation(count)
    by_class = drawn[np.argsort(labels[drawn], kind="stable")]
    return Subset(samples, np.sort(by_class[0::2])), Subset(samples, np.sort(by_class[1::2]))
