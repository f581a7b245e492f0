"""Says when a module computes something else from run to run: nothing can be proven equal to it."""

from __future__ import annotations

import contextlib
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch.utils._python_dispatch import TorchDispatchMode

from toolchain.agent.measure.parity import compare
from toolchain.errors import ToolchainError, usage
from toolchain.graph.parity import SQNR_DB_MIN
from toolchain.graph.view import read_constant_node
from toolchain.graph.walk import iter_nodes

Outputs = Mapping[str, NDArray[Any]]

# Runs of a module that draws random numbers: one that shows them in every second run is missed once in 256 times.
_RUNS_WHERE_DRAWN = 8

# ONNX operators that draw; Dropout does where its third input, training_mode, is true.
_DRAWING = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)

_FIX = (
    "functional dropout needs training=self.training; take torch.rand and its like out of forward or make their "
    "result an input; keep no state from one call to the next"
)


def check_repeatable(run: Callable[[], Outputs]) -> Outputs:
    """Run a module again on the same samples and return its outputs.

    Raises ToolchainError (exit 2) where an output differs from run to run by more than rounding; the message names the
    line that draws random numbers, where there is one.
    """
    with _states_kept():
        before = _read_states()
        first = run()
        for _ in range(_RUNS_WHERE_DRAWN if _read_states() != before else 1):
            difference = _find_difference(first, run())
            if difference is not None:
                where, found = difference
                place = _find_draw(run)
                raise explain_randomness(where if place is None else f"{where}, {place}", found)
    return first


def find_random_node(model: onnx.ModelProto) -> str | None:
    """Return the name and operator of the first node that draws random numbers, in the graph or in a graph within."""
    nodes = list(iter_nodes(model.graph))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    constants |= {node.output[0]: tensor for node in nodes if (tensor := read_constant_node(node)) is not None}
    for node in nodes:
        flag = constants.get(node.input[2]) if node.op_type == "Dropout" and len(node.input) > 2 else None
        if node.op_type in _DRAWING or (flag is not None and bool(numpy_helper.to_array(flag).any())):
            return f"{node.name or node.output[0]} ({node.op_type})"
    return None


def explain_randomness(where: str, found: str) -> ToolchainError:
    """Return the error (exit 2) for a model whose output differs from run to run."""
    return usage(
        "the model's output differs from run to run",
        where=where,
        expected="equal outputs for equal inputs, in evaluation mode",
        found=found,
        fix=_FIX,
    )


class _DrawWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the first line that calls an operator which may draw random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.place: str | None = None

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self.place is None and torch.Tag.nondeterministic_seeded in operator.tags:
            before = torch.get_rng_state()
            result = operator(*args, **(kwargs or {}))
            if not torch.equal(before, torch.get_rng_state()):  # many may draw, and do not in evaluation
                self.place = _find_caller(str(operator.overloadpacket))
            return result
        return operator(*args, **(kwargs or {}))


def _find_draw(run: Callable[[], Outputs]) -> str | None:
    """Return the line that draws random numbers first; None where no operator of torch's does."""
    watch = _DrawWatch()
    with contextlib.suppress(ToolchainError), watch:
        run()
    return watch.place


def _find_caller(operator: str) -> str:
    """Return FILE:LINE of the innermost frame of the model's own, and the operator."""
    frames = traceback.extract_stack()
    above = max(index for index, frame in enumerate(frames) if frame.name == check_repeatable.__name__)
    others = (Path(torch.__file__).parent, Path(__file__).parent.parent)
    own = [frame for frame in frames[above:] if not any(folder in Path(frame.filename).parents for folder in others)]
    return f"{own[-1].filename}:{own[-1].lineno}, operator {operator}" if own else f"operator {operator}"


def _find_difference(first: Outputs, second: Outputs) -> tuple[str, str] | None:
    """Return which output differs, and how much, where it is by more than rounding."""
    if first.keys() != second.keys():
        return f"outputs {', '.join(first)}", f"outputs {', '.join(second)} the next time"
    for name, array in first.items():
        other = second[name]
        if array.shape != other.shape or array.dtype != other.dtype:
            return f"output {name}", f"shape {array.shape}, then {other.shape}"
        # A NaN at the same place is the same here; the check of the export refuses it.
        both = np.isnan(array) & np.isnan(other) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
        (distance,) = compare({name: np.where(both, 0, array)}, {name: np.where(both, 0, other)})
        limit_db = SQNR_DB_MIN.get(str(array.dtype))
        differs = distance.max_abs > 0 if limit_db is None else distance.sqnr_db < limit_db
        if differs or distance.nonfinite:
            return f"output {name}", f"a difference of {distance.max_abs:g}"
    return None


def _read_states() -> tuple[bytes, str, str]:
    """Return the states of the generators that a module may draw from."""
    return bytes(torch.get_rng_state().numpy()), repr(random.getstate()), repr(np.random.get_state())  # noqa: NPY002


@contextlib.contextmanager
def _states_kept() -> Iterator[None]:
    """Leave the generators as they were: a check changes nothing."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
