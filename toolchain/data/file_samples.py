"""Samples that lie in a file each, such as pictures: read when they are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import TargetArray
from toolchain.data.dataset import IMAGE_INPUT


@dataclass(frozen=True)
class FileSamples:
    """Files in their order, and what is known of each."""

    paths: Sequence[Path]
    targets: Mapping[str, TargetArray]
    sha256: str
    read: Callable[[Path], NDArray[Any]]
    """From a file to an array, of the same shape for all."""
    finish: Callable[[NDArray[Any]], NDArray[Any]] = np.ascontiguousarray
    """From a batch of these to the model's input."""

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        return self._read(self.paths[start:stop])

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the samples at the indices `(n,)`."""
        return self._read([self.paths[index] for index in indices])

    def name_sample(self, index: int) -> str:
        """Return the path of a sample."""
        return str(self.paths[index])

    def _read(self, paths: Sequence[Path]) -> dict[str, NDArray[Any]]:
        with ThreadPoolExecutor() as pool:  # decoding runs outside the interpreter's lock
            arrays = np.stack(list(pool.map(self.read, paths)))
        return {IMAGE_INPUT: self.finish(arrays)}
