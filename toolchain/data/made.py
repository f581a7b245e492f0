"""Samples that are made and not read: each when it is asked for, from its own number, and then kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import Ragged, TargetArray

Row = Mapping[str, NDArray[Any]]
"""The inputs of one sample, without the axis of samples."""


@dataclass(frozen=True, kw_only=True)
class MadeSamples:
    """A part of a data set that a function draws: the same arrays for the same number, in any order."""

    count: int
    make: Callable[[int], Row]
    """From the number of a sample, below count; it reads no state."""
    targets: Mapping[str, TargetArray]
    sha256: str
    """Of the generator and of what it reads: who makes the same gets the same."""
    finish: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray
    """From the kept arrays `(n, …)` to a model's input, so that pictures are kept as bytes."""
    read_text: Callable[[int], str] | None = None
    """From the number of a sample to the text that its tokens were made of; None where they are no texts."""
    _kept: dict[int, Row] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return self.count

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        return self.take(np.arange(self.count)[start:stop])

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the samples at the indices `(n,)`, as batch does."""
        rows = [self._read(int(index)) for index in indices]
        return {name: self.finish(np.stack([row[name] for row in rows])) for name in rows[0]}

    def _read(self, index: int) -> Row:
        if index not in self._kept:
            self._kept[index] = self.make(index)
        return self._kept[index]


def join_texts(texts: list[str]) -> Ragged:
    """Return texts as the target of a transcription: the bytes of their UTF-8, one text after another."""
    parts = [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]
    offsets = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
    return Ragged(values=np.concatenate(parts), offsets=offsets)
