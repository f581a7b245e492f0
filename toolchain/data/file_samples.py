"""Samples that lie in a file each, such as pictures: read when they are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
    frame: Callable[[Path], NDArray[np.uint8]] | None = None
    """From a file to a picture as it was stored, `(h, w, c)`; None where the files are no pictures."""
    framed: Mapping[str, Any] = field(default_factory=dict)
    """How `read` lays a picture, where targets lie in pixels of it: keys of a sensor's picture (agent/sensor.py)."""

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

    @property
    def read_pixels(self) -> Callable[[int, int], NDArray[Any]] | None:
        """What returns the pictures start to stop as bytes `(n, H, W, C)`; None where the files are none."""
        return None if self.frame is None else lambda start, stop: self._stack(self.paths[start:stop])

    @property
    def read_frame(self) -> Callable[[int], NDArray[np.uint8]] | None:
        """What returns a picture as it was stored; None where the files are none."""
        frame = self.frame
        return None if frame is None else lambda index: frame(self.paths[index])

    def _stack(self, paths: Sequence[Path]) -> NDArray[Any]:
        with ThreadPoolExecutor() as pool:  # decoding runs outside the interpreter's lock
            return np.stack(list(pool.map(self.read, paths)))

    def _read(self, paths: Sequence[Path]) -> dict[str, NDArray[Any]]:
        return {IMAGE_INPUT: self.finish(self._stack(paths))}
