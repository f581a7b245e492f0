"""Samples that read the same every time: what a model answered belongs to the inputs that are sent along with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import TargetArray
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import ToolchainError, usage


class SteadySamples:
    """A part of a data set, of which every sample is held to what it was when it was read first."""

    def __init__(self, samples: Samples, *, data_set: str) -> None:
        """Watch a part of the data set of this name."""
        self._samples = samples
        self._data_set = data_set
        self._digests: dict[int, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._samples, name)

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name."""
        return self._samples.targets

    @property
    def sha256(self) -> str:
        """Of the content, as the data set states it."""
        return self._samples.sha256

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return samples start to stop; raises ToolchainError (exit 2) where one is not what it was before."""
        arrays = self._samples.batch(start, stop)
        for index in range(start, min(stop, len(self._samples))):
            digest = _hash_sample(arrays, index - start)
            if self._digests.setdefault(index, digest) != digest:
                raise self._refuse(f"{name_sample(self._samples, index)}", "other values when it was read again")
        return arrays

    def hash_read(self, count: int) -> str:
        """Return the sha256 over the first samples, all of which were read."""
        return hashlib.sha256(b"".join(self._digests[index] for index in range(count))).hexdigest()

    def check_read(self, sha256: str, count: int) -> None:
        """Refuse (exit 2) samples that are others than those of hash_read in an earlier run."""
        if self.hash_read(count) != sha256:
            raise self._refuse("evaluation", "other samples than when the model was run on them, under the same sha256")

    def _refuse(self, where: str, found: str) -> ToolchainError:
        return usage(
            "the evaluation data differ from one reading to the next: nothing can be compared with them",
            where=f"data set {self._data_set}: {where}",
            expected="the same values for the same sample and sha256",
            found=found,
            fix="draw nothing at random in the evaluation part, and let its sha256 say what it holds",
        )


def _hash_sample(arrays: Mapping[str, NDArray[Any]], row: int) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name][row])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.digest()
