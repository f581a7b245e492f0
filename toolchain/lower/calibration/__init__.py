"""Streaming calibration: the range of every tensor from one pass over the data, in memory that does not grow with it.

A method is a module in methods/, in a project's plugins/calibration_methods/ or of an installed package. It has
`choose_range(observation, *, symmetric) -> TensorRange`, and COUNTS: whether it reads the histogram or only bounds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol, TypeVar, cast

import onnx
from numpy.typing import NDArray

from toolchain.agent.manifest import TensorSpec
from toolchain.errors import ToolchainError, malformed, usage
from toolchain.graph.feeds import check_feeds
from toolchain.graph.session import HostSession
from toolchain.lower.calibration.observation import Observation
from toolchain.lower.ranges import TensorRange
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import CALIBRATION_METHODS

__all__ = ["calibrate", "choose_ranges", "load_method", "observe_tensors"]

_Item = TypeVar("_Item")

Batch = Mapping[str, NDArray[Any]]

_FLOATS = frozenset({"float16", "float32", "float64"})


class Method(Protocol):
    """What a module of a method offers."""

    COUNTS: bool

    def choose_range(self, observation: Observation, *, symmetric: bool) -> TensorRange:
        """Return the range to quantize a tensor with, inside the bounds observed."""


def load_method(name: str) -> Method:
    """Return a method by name; raises ToolchainError (exit 2) for an unknown one, with the known names."""
    return cast("Method", load_member(find_member(CALIBRATION_METHODS, name, where="quantize.calibration")))


def calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Batch],
    *,
    method: str,
    symmetric: bool,
    on_batch: Callable[[], None] | None = None,
    threads: int | None = None,
) -> dict[str, TensorRange]:
    """Return the range of every tensor over all batches, by one method; see observe_tensors and choose_ranges."""
    counting = load_method(method).COUNTS
    observations = observe_tensors(model, tensors, batches, counting=counting, on_batch=on_batch, threads=threads)
    return choose_ranges(observations, method=method, symmetric=symmetric)


def observe_tensors(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    batches: Iterable[Batch],
    *,
    counting: bool,
    on_batch: Callable[[], None] | None = None,
    on_outputs: Callable[[int, Batch], None] | None = None,
    threads: int | None = None,
) -> dict[str, Observation]:
    """Return what calibration must know of every tensor: its bounds and, where `counting`, its histogram.

    `batches` is read once: dicts of one array per model input, first axis = samples. The activations of at most
    `threads` batches are alive at a time (None: one for each CPU), so small batches mean little memory.
    `on_batch` is called in the calling thread after each batch, `on_outputs` in another with its number and the outputs.

    Raises ToolchainError: exit 2 for batches that are none or do not fit the model's inputs; exit 23 for a model that
    does not open or computes NaN, with the tensor and the batch. Infinities set no range; the observation of their
    tensor says where they are. ValueError: a tensor that is no float tensor of the main graph.
    """
    # Bounds alone come unoptimized, because fused and reordered kernels round differently: they equal ONNX Runtime's own.
    # Several runs at once fill the CPU better than one run on several threads.
    outputs = [] if on_outputs is None else [value.name for value in model.graph.output]
    returned = list(dict.fromkeys([*tensors, *outputs]))
    session = HostSession(model, fused=counting, integer_kernels=True, tensors=returned, threads=1)
    _require_floats(session, tensors)
    observations = {name: Observation(counting=counting) for name in tensors}

    def observe(numbered: tuple[int, Batch]) -> None:
        index, batch = numbered
        made = session.run(batch, where=f"batch {index}")
        if on_outputs is not None:
            on_outputs(index, {name: made[name] for name in outputs})
        for name, observation in observations.items():
            if not observation.add(made[name], batch=index):
                raise malformed(
                    "the model computes NaN on the calibration data",
                    where=f"tensor {name}, sample {index}",
                    expected="numbers",
                    fix="check the weights, and the calibration data's normalization",
                )

    for _ in _run_each(observe, _checked(session.inputs, batches), threads or os.cpu_count() or 1):
        if on_batch is not None:
            on_batch()
    return observations


def choose_ranges(observations: Mapping[str, Observation], *, method: str, symmetric: bool) -> dict[str, TensorRange]:
    """Return the range of every tensor by one method; each includes 0, and (0, 0) is a tensor of zeros.

    `symmetric` asks for low = -high. Raises ToolchainError (exit 2) for an unknown method.
    """
    chosen = load_method(method)
    return {
        name: _choose(chosen, method, name, observation, symmetric=symmetric)
        for name, observation in observations.items()
    }


def _choose(chosen: Method, method: str, tensor: str, observation: Observation, *, symmetric: bool) -> TensorRange:
    """Return the range of a tensor; refuse (exit 2) a method that breaks, and what is no range around 0."""
    found: object
    try:
        found = chosen.choose_range(observation, symmetric=symmetric)
        is_range = isinstance(found, TensorRange) and -math.inf < found.low <= 0.0 <= found.high < math.inf
    except ToolchainError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a method of others raises
        found, is_range = f"{type(error).__name__}: {error}", False
    if not isinstance(found, TensorRange) or not is_range:
        raise usage(
            f"the calibration method {method} gives no range",
            where=f"tensor {tensor}",
            expected="a TensorRange of finite numbers that includes 0",
            found=str(found),
            fix="correct the method, or name another one in quantize.calibration",
        )
    return found


def _require_floats(session: HostSession, tensors: Sequence[str]) -> None:
    dtypes = {spec.name: spec.dtype for spec in (*session.inputs, *session.outputs)}
    for name in tensors:
        if dtypes[name] not in _FLOATS:
            raise ValueError(f"tensor {name!r} has no range: it is {dtypes[name]}, not a float tensor")


def _checked(inputs: Sequence[TensorSpec], batches: Iterable[Batch]) -> Iterator[tuple[int, Batch]]:
    """Yield the batches that fit the model, numbered; raise at the first that does not, and where there is none."""
    index = -1
    for index, batch in enumerate(batches):
        check_feeds(inputs, batch, where=f"batch {index}")
        for name, array in batch.items():
            if array.shape[:1] == (0,):
                raise usage(
                    f"the array for input {name} is empty",
                    where=f"batch {index}",
                    expected="at least one sample along its first axis",
                    found=str(array.shape),
                    fix="leave empty batches out",
                )
        yield index, batch
    if index < 0:
        raise usage(
            "the calibration data is empty",
            expected="at least one batch",
            found="none",
            fix="check what --calibration or [data] of the recipe names: it has no samples",
        )


def _run_each(work: Callable[[_Item], None], batches: Iterator[_Item], threads: int) -> Iterator[None]:
    """Do the work for each batch, several at a time; yield after each, raise its error."""
    with ThreadPoolExecutor(threads) as executor:
        pending: set[Future[None]] = set()
        for batch in batches:
            pending.add(executor.submit(work, batch))
            if len(pending) == threads:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        for future in pending:
            yield future.result()
