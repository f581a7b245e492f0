"""Feeds: the samples of a data set as a model takes them, one run each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.manifest import TensorSpec
from toolchain.agent.runs import take_run
from toolchain.data.dataset import Samples
from toolchain.errors import usage


@dataclass(frozen=True)
class Feeds(Sequence[dict[str, NDArray[Any]]]):
    """Runs over some samples of a data set: feeds[i] is what one run of the model takes, input by input."""

    samples: Samples
    inputs: tuple[TensorSpec, ...]
    names: dict[str, str]
    """Name of the model's input to name of the data set's array."""
    indices: range
    batched: bool
    """Every input has a batch axis, of length 1 in a run."""

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]: ...
    @overload
    def __getitem__(self, index: slice) -> Feeds: ...
    def __getitem__(self, index: int | slice) -> dict[str, NDArray[Any]] | Feeds:
        if isinstance(index, slice):
            return Feeds(self.samples, self.inputs, self.names, self.indices[index], self.batched)
        return {
            spec.name: take_run(array, len(spec.shape), 0)
            for spec, array in zip(self.inputs, self.read_sample(index).values(), strict=True)
        }

    def read_sample(self, index: int) -> dict[str, NDArray[Any]]:
        """Return one sample under the names of the model's inputs, (1, ...) each."""
        position = self.indices[index]
        arrays = self.samples.batch(position, position + 1)
        return {spec.name: arrays[self.names[spec.name]] for spec in self.inputs}


def bind_feeds(samples: Samples, inputs: Sequence[TensorSpec], *, where: str, count: int | None = None) -> Feeds:
    """Return the first `count` samples as feeds for a model with these inputs.

    Arrays are matched by name; a data set of one array also fits a model of one input. Raises ToolchainError
    (exit 2) for no samples, another set of names, another dtype, or a shape that the model cannot take.
    """
    total = len(samples) if count is None else min(count, len(samples))
    if total == 0:
        raise usage("the data set is empty", where=where, expected="at least one sample", found="none")
    arrays = samples.batch(0, 1)
    wanted = [spec.name for spec in inputs]
    if len(arrays) == 1 and len(wanted) == 1:
        names = {wanted[0]: next(iter(arrays))}
    elif set(arrays) == set(wanted):
        names = {name: name for name in wanted}
    else:
        raise usage(
            "the data does not name the model's inputs",
            where=where,
            expected=", ".join(sorted(wanted)),
            found=", ".join(sorted(arrays)),
            fix="give one array per input, under the input's name",
        )
    batched = all(arrays[names[spec.name]].ndim == len(spec.shape) for spec in inputs)
    feeds = Feeds(samples, tuple(inputs), names, range(total), batched)
    for spec, array in zip(inputs, feeds[0].values(), strict=True):
        _check_array(spec, array, where)
    return feeds


def _check_array(spec: TensorSpec, array: NDArray[Any], where: str) -> None:
    if array.dtype != np.dtype(spec.dtype):
        raise usage(f"input {spec.name} has another dtype", where=where, expected=spec.dtype, found=str(array.dtype))
    fits = len(spec.shape) == array.ndim and all(
        size is None or size == found for size, found in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
        raise usage(f"input {spec.name} has another shape", where=where, expected=f"({shape})", found=str(array.shape))
