"""Feeds: the samples of a data set as a model takes them, one run each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.targets import LABELS
from toolchain.data.dataset import Samples
from toolchain.errors import usage
from toolchain.graph.feeds import check_feeds, check_names


@dataclass(frozen=True)
class Feeds(Sequence[dict[str, NDArray[Any]]]):
    """Runs over some samples of a data set: feeds[i] is what one run of the model takes, input by input."""

    samples: Samples
    inputs: tuple[TensorSpec, ...]
    names: dict[str, str]
    """Name of the model's input to name of the data set's array."""
    indices: range

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]: ...
    @overload
    def __getitem__(self, index: slice) -> Feeds: ...
    def __getitem__(self, index: int | slice) -> dict[str, NDArray[Any]] | Feeds:
        if isinstance(index, slice):
            return Feeds(self.samples, self.inputs, self.names, self.indices[index])
        position = self.indices[index]
        arrays = self.samples.batch(position, position + 1)
        return {spec.name: _take_run(arrays[self.names[spec.name]], spec) for spec in self.inputs}


def bind_feeds(
    samples: Samples, inputs: Sequence[TensorSpec], *, by_name: bool, where: str, count: int | None = None
) -> Feeds:
    """Return the first `count` samples as feeds for a model with these inputs.

    Arrays are matched by name; where the names are not the user's (by_name is false), one array fits a model of one
    input. Raises ToolchainError (exit 2) for no samples, another set of names, another dtype, or a shape that the
    model cannot take.
    """
    total = len(samples) if count is None else min(count, len(samples))
    if total == 0:
        raise usage(
            "the data set is empty", where=where, expected="at least one sample", found="none", fix="add real samples"
        )
    arrays = samples.batch(0, 1)
    wanted = [spec.name for spec in inputs]
    if not by_name and len(arrays) == 1 and len(wanted) == 1:
        names = {wanted[0]: next(iter(arrays))}
    else:
        _refuse_others(samples, list(arrays), wanted, where)
        check_names(inputs, arrays, where=where)
        names = {name: name for name in wanted}
    feeds = Feeds(samples, tuple(inputs), names, range(total))
    check_feeds(inputs, feeds[0], where=where)
    return feeds


def _refuse_others(samples: Samples, found: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """Refuse (exit 2) arrays beside those of the inputs: a target under a name that says nothing of it, for the most part."""
    others = [name for name in found if name not in wanted]
    if not others or not set(wanted) <= set(found):
        return
    known = list(dict.fromkeys([LABELS, *samples.targets]))
    raise usage(
        f"{', '.join(others)}: neither an input of the model nor a target",
        where=where,
        expected=f"the inputs {', '.join(wanted)}; the targets {', '.join(known)}",
        found=", ".join([*found, *samples.targets]),
        fix=f"call the classes of the samples {LABELS}; name other targets in data.options.targets of a recipe, such as "
        f'["{others[0]}"], as its metric calls them (docs/metrics.md); leave out what is neither',
    )


def _take_run(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """Return what a run takes of one sample (1, ...).

    Where the axes behind the first are all that the input has, they are the input as it is (a recurrent state
    (2, N, 128), a scalar); otherwise the sample is a batch of one.
    """
    # Of a scalar, array[0] alone would be a number, which no runtime takes.
    return np.asarray(array[0]) if array.ndim == len(spec.shape) + 1 else array
