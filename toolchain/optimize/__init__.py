"""ONNX in, an equal ONNX out that a runtime and the lowering make more of. One pass a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import onnx
from numpy.typing import NDArray

from toolchain.agent.measure.parity import Parity
from toolchain.errors import ExitCode, ToolchainError, first_line, usage
from toolchain.graph.learned_ranges import check_kept
from toolchain.graph.parity import SQNR_DB_MIN, Outputs, check_float_parity
from toolchain.graph.randomness import explain_randomness, find_difference
from toolchain.graph.session import HostSession
from toolchain.optimize import (
    fold_input,
    fold_scalar_into_conv,
    global_average_pool,
    hard_swish,
    inline_functions,
    lift_constants,
    name_nodes,
    plain_products,
    raise_opset,
    share_weights,
    simplify,
)
from toolchain.optimize.applied import Applied
from toolchain.run.confine import inside


class Pass(Protocol):
    """A module of this folder."""

    __name__: str

    def apply(self, model: onnx.ModelProto) -> Applied:
        """Return a rewritten copy and what was done, or the model itself and why nothing was."""


# The order: functions and old opsets first, since the others read today's operators only; names before the passes that
# keep them, so that a report shows the names of the user's own model.
PASSES: tuple[Pass, ...] = (
    inline_functions,
    raise_opset,
    name_nodes,
    simplify,
    lift_constants,
    share_weights,
    plain_products,
    hard_swish,
    fold_scalar_into_conv,
    fold_input,
    global_average_pool,
)


@dataclass(frozen=True)
class PassRecord:
    """What one pass did. sqnr_db: of the worst output against the model before the pass; 200 where nothing moved."""

    name: str
    acted: bool
    report: str
    """What it changed, or why it did not act."""
    nodes_before: int
    nodes_after: int
    sqnr_db: float


@dataclass(frozen=True)
class OptimizeResult:
    """The optimized model, and the passes in their order."""

    model: onnx.ModelProto
    passes: tuple[PassRecord, ...]


# The SQNR of a model with itself, as toolchain.agent.measure.parity reports it.
_EQUAL_SQNR_DB = 200.0

# Two orders of summation differ from each other by at most twice what each differs from the exact sum.
_ROUNDING_MARGIN_DB = 6.0

_FIX = "correct the pass where it is one of yours (passes in [optimize] of the recipe); else report it with the model"


def optimize(
    model: onnx.ModelProto,
    batches: Sequence[dict[str, NDArray[Any]]],
    *,
    passes: Sequence[Pass] = PASSES,
    threads: int = 1,
    on_pass: Callable[[PassRecord], None] = lambda _: None,
) -> OptimizeResult:
    """Apply the passes in their order, and prove after each that the model still computes the same.

    Args:
        model: Is not changed.
        batches: Real samples, one array per input of the model each.
        passes: In their order.
        threads: Of ONNX Runtime.
        on_pass: Is told every pass that is done.

    Raises ToolchainError: exit 2 where the samples do not fit the model, its opset cannot be raised, or it answers one
    sample in two ways; exit 23 where ONNX Runtime refuses the model as it came; exit 18 that names the pass after which
    the model was invalid, had other inputs or outputs, or computed something else. A pass that breaks is never skipped.
    """
    if not batches:
        raise usage(
            "a model is optimized on real samples",
            expected="at least one batch",
            found="none",
            fix="check what [data] of the recipe names: it has no samples",
        )
    outputs = _run(model, batches, threads, is_repeated=True)
    records = []
    for step in passes:
        name = step.__name__.rpartition(".")[2]
        with inside.step(f"pass {name}"):
            applied = _apply(step, name, model)
        rewritten = applied.model
        acted = rewritten is not model
        sqnr_db = _EQUAL_SQNR_DB
        if acted:
            check_kept(model, rewritten, name=f"pass {name}")
            rewritten_outputs = _check_pass(name, model, rewritten, batches, threads)
            pairs = list(zip(outputs, rewritten_outputs, strict=True))
            sqnr_db = _check_values(name, pairs, model, batches, threads)
            outputs = rewritten_outputs
        record = PassRecord(
            name=name,
            acted=acted,
            report=applied.report,
            nodes_before=len(model.graph.node),
            nodes_after=len(rewritten.graph.node),
            sqnr_db=sqnr_db,
        )
        records.append(record)
        on_pass(record)
        model = rewritten
    return OptimizeResult(model=model, passes=tuple(records))


def _apply(step: Pass, name: str, model: onnx.ModelProto) -> Applied:
    """Return what a pass did; refuse (exit 18) one that breaks, and one that rewrites the model that it was given."""
    given = onnx.ModelProto()
    given.CopyFrom(model)
    try:
        applied = step.apply(given)
    except ToolchainError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ToolchainError(ExitCode.PARITY, f"pass {name}: it breaks", found=found, fix=f"correct {name}") from error
    what = None
    if not isinstance(applied, Applied) or not isinstance(applied.model, onnx.ModelProto):
        what = f"pass {name}: it returned {type(applied).__name__}"
    elif given != model:  # nothing would be compared where it says that it did nothing
        what = f"pass {name}: it changed the model that it was given"
    if what is not None:
        expected = "Applied, with a rewritten copy or with the model as it came"
        raise ToolchainError(ExitCode.PARITY, what, expected=expected, fix=f"copy the model in {name}")
    return replace(applied, model=model) if applied.model is given else applied


def _run(
    model: onnx.ModelProto, batches: Sequence[dict[str, NDArray[Any]]], threads: int, *, is_repeated: bool = False
) -> list[Outputs]:
    """Return the outputs of every batch; is_repeated: refuse (exit 2) a model that answers the first one otherwise again.

    Only the same session shows it: a node with a seed draws alike in two of them, run by run.
    """
    session = HostSession(model, threads=threads)
    outputs = [session.run(batch) for batch in batches]
    difference = find_difference(outputs[0], session.run(batches[0])) if is_repeated else None
    if difference is not None:
        raise explain_randomness(*difference)
    return outputs


def _check_pass(
    name: str,
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    batches: Sequence[dict[str, NDArray[Any]]],
    threads: int,
) -> list[Outputs]:
    """Return the rewritten model's outputs; refuse (exit 18) a changed interface and an invalid graph."""
    for kind in ("input", "output"):
        old, new = (_read_interface(model, kind) for model in (before, after))
        symbols = {
            axis for value in _read_interface(before, "input") for axis in value.axes or () if isinstance(axis, str)
        }
        if len(old) != len(new) or not all(map(partial(_is_kept, kind, symbols), old, new)):
            raise ToolchainError(
                ExitCode.PARITY,
                f"pass {name}: it changed the model's {kind}s",
                expected=_join(old),
                found=_join(new),
                fix=_FIX,
            )
    try:
        onnx.checker.check_model(after)
        return _run(after, batches, threads)
    except onnx.checker.ValidationError as error:
        raise ToolchainError(
            ExitCode.PARITY, f"pass {name}: it wrote an invalid graph", found=first_line(error), fix=_FIX
        ) from error
    except ToolchainError as error:
        raise ToolchainError(
            ExitCode.PARITY, f"pass {name}: the model ran before it and does not after it", found=error.found, fix=_FIX
        ) from error


def _check_values(
    name: str,
    pairs: Sequence[tuple[Outputs, Outputs]],
    before: onnx.ModelProto,
    batches: Sequence[dict[str, NDArray[Any]]],
    threads: int,
) -> float:
    """Return the SQNR of the worst output in dB; refuse (exit 18) a difference that is more than rounding.

    Some models amplify rounding: the text detector of PP-OCR, given noise, is 23 dB from itself when ONNX Runtime fuses
    its nodes. So where a pass stays below the usual limit, the limit is what rounding does to the model before it.
    """
    try:
        distances = check_float_parity(f"pass {name}", pairs)
    except ToolchainError:
        unfused = HostSession(before, threads=threads, fused=False)
        parity = Parity()
        for batch, (outputs, _) in zip(batches, pairs, strict=True):
            parity.add(outputs, unfused.run(batch))
        usual_db = {output: SQNR_DB_MIN.get(str(array.dtype), math.inf) for output, array in pairs[0][0].items()}
        limits = {
            own.output: min(own.sqnr_db - _ROUNDING_MARGIN_DB, usual_db[own.output])
            for own in parity.summarize()
            if own.max_abs > 0
        }
        distances = check_float_parity(f"pass {name}", pairs, sqnr_db_min=limits)
    return min(distances.values())


@dataclass(frozen=True)
class _Value:
    """An input or output that a user feeds or reads; an axis is a length, a symbol, or None where nothing is said."""

    name: str
    dtype: int
    axes: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        axes = "?" if self.axes is None else ", ".join("?" if axis is None else str(axis) for axis in self.axes)
        return f"{self.name} {onnx.TensorProto.DataType.Name(self.dtype).lower()}({axes})"


def _join(values: Sequence[_Value]) -> str:
    return "; ".join(map(str, values))


def _read_interface(model: onnx.ModelProto, kind: str) -> list[_Value]:
    initialized = {tensor.name for tensor in model.graph.initializer}
    return [
        _Value(value.name, value.type.tensor_type.elem_type, _read_axes(value.type.tensor_type))
        for value in getattr(model.graph, kind)
        if kind == "output" or value.name not in initialized
    ]


def _read_axes(tensor_type: onnx.TypeProto.Tensor) -> tuple[int | str | None, ...] | None:
    if not tensor_type.HasField("shape"):
        return None
    return tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or None for axis in tensor_type.shape.dim
    )


def _is_kept(kind: str, symbols: set[str], old: _Value, new: _Value) -> bool:
    """Return whether a value is still the one it was.

    Shape inference may find out the length of an output's axis, but an axis that is an input's, as the batch is, has to
    stay a symbol; and an input's axis has to stay as it is.
    """
    if (old.name, old.dtype) != (new.name, new.dtype):
        return False
    if old.axes is None or new.axes is None:
        return kind == "output" or old.axes == new.axes
    return len(old.axes) == len(new.axes) and all(
        found == expected
        if isinstance(expected, int)
        else not isinstance(found, int) or (kind == "output" and expected not in symbols)
        for expected, found in zip(old.axes, new.axes, strict=True)
    )
