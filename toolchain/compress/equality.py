"""What claims to change nothing is held to it: the outputs on real samples, before and after (exit 18)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from toolchain.agent.measure.parity import compare
from toolchain.compress.draft import Draft
from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs, copy_model, run_model
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.graph.parity import SQNR_DB_MIN, Outputs, check_float_parity

SAMPLES = 16
"""As many as an export and the ONNX passes are checked on."""

# Two orders of summation differ from each other by at most twice what each differs from the exact sum.
_ROUNDING_MARGIN_DB = 6.0


@contextmanager
def must_stay_equal(draft: Draft, material: Material, *, step: str) -> Iterator[None]:
    """Refuse what the block does to the draft where the model computes something else afterwards.

    step: the method and what it does, for the message.

    Raises ToolchainError as check_equal does.
    """
    before = copy_model(draft.model)
    yield
    check_equal(before, draft.model, material, step=step)


def check_equal(before: nn.Module, after: nn.Module, material: Material, *, step: str) -> None:
    """Compare two models on calibration samples.

    Raises ToolchainError (exit 18) that names the step and the output: another interface, or a difference of more than
    rounding. Where rounding alone moves the model before by more than the usual limit, that is the limit.
    """
    inputs = material.inputs(SAMPLES)
    expected = run_arrays(before, inputs)
    try:
        found = run_arrays(after, inputs)
    except ToolchainError as error:
        raise ToolchainError(
            ExitCode.PARITY,
            f"{step}: the model ran before it and does not after it",
            found=error.found,
            fix="leave the layers that do not fit out of this step with skip, and report it with the model",
        ) from error
    try:
        check_float_parity(step, [(expected, found)])
    except ToolchainError:
        limits = _measure_rounding(before, inputs, expected)
        check_float_parity(step, [(expected, found)], sqnr_db_min=limits)


def run_arrays(model: nn.Module, inputs: Inputs) -> Outputs:
    """Return the outputs as arrays, computed on the CPU: a GPU's float32 may have TF32's 10 bits.

    Raises ToolchainError (exit 2) as run_model does, and for an output that NumPy has no type for.
    """
    outputs = run_model(model.cpu(), inputs)
    try:
        return {name: tensor.resolve_conj().numpy() for name, tensor in outputs.items()}
    except (TypeError, RuntimeError) as error:  # bfloat16, and sparse tensors
        raise usage(
            "an output has no dtype that NumPy has",
            where=f"{type(model).__name__}.forward",
            expected="dense tensors of float32, float16, float64 or integers",
            found=", ".join(f"{name} {tensor.dtype} {tensor.layout}" for name, tensor in outputs.items()),
            fix="let forward return output.float()",
        ) from error


def _measure_rounding(model: nn.Module, inputs: Inputs, expected: Outputs) -> dict[str, float]:
    """Return the limit in dB of the outputs that float32's rounding alone moves; none where float64 does not run."""
    wide = tuple(tensor.double() if tensor.dtype == torch.float32 else tensor for tensor in inputs)
    try:
        exact = run_arrays(copy_model(model).double(), wide)
        distances = compare(expected, {name: exact[name].astype(array.dtype) for name, array in expected.items()})
    except (ToolchainError, KeyError):
        return {}
    return {
        own.output: min(own.sqnr_db - _ROUNDING_MARGIN_DB, SQNR_DB_MIN.get(str(expected[own.output].dtype), math.inf))
        for own in distances
        if own.max_abs > 0 and not own.nonfinite
    }
