"""Lowering for TensorRT: one strongly typed graph that TensorRT 10.3 to 11 and TensorRT for RTX take.

Speed is decided on the board: there the target's precisions are built and measured against each other. Layers are chosen by
measured time where the board is this machine; elsewhere nothing is, and the same input makes the same file on every machine.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.agent.measure.facts import is_this_accelerator
from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.agent.measure.session import find_runtime
from toolchain.agent.temporary import TemporaryFolder
from toolchain.graph.file import write_onnx
from toolchain.graph.learned_ranges import drop_ranges, read_ranges, restore_pairs
from toolchain.graph.parity import check_float_parity
from toolchain.graph.session import HostSession, request_trial_build
from toolchain.graph.view import attribute_int
from toolchain.lower.float_reasons import explain_subgraphs, list_operators
from toolchain.lower.fp16 import convert_to_float16
from toolchain.lower.fp16_layers import lower_fp16 as lower_float16
from toolchain.lower.int8 import describe_int8
from toolchain.lower.int8 import lower_int8 as lower_to_int8
from toolchain.lower.policy import Int8Policy
from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.lower.smoothing import Smoothing, smooth_outliers
from toolchain.lower.tensorrt.einsum import lower_equations
from toolchain.lower.tensorrt.foreign_pairs import TakenPairs, take_foreign_pairs
from toolchain.lower.tensorrt.group_normalization import rewrite_group_normalization
from toolchain.lower.tensorrt.operators import check_operators
from toolchain.lower.tensorrt.opset import lower_opset
from toolchain.lower.tensorrt.policy import tensorrt_policy
from toolchain.lower.tensorrt.profile import find_profile
from toolchain.lower.tensorrt.rtx import check_parses, is_installed
from toolchain.lower.tensorrt.sparsity import find_sparse_layers
from toolchain.lower.trial import AMPLE_DB
from toolchain.lower.widened import widen

# A value at the border of two steps may fall to the other side, which is the noise of a step and no more.
_PAIR_SAMPLES = 8
_PAIR_SQNR_DB_MIN = 30.0

# By so much is what float16 around int8 loses under what int8 may lose: a tenth of its noise takes 0.4 dB of it.
_AROUND_INT8_DB = 10.0

# Enough for a median; what is chosen by it is measured as a whole model.
_PROFILED_RUNS = 25

_MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "GRU", "LSTM", "MatMul", "RNN"})


def lower_float32(request: LowerRequest, folder: Path, _start_steps: StartSteps) -> dict[str, Any]:
    """Write the float32 graph."""
    taken, model = _read_checked(request)
    return _finish(request, folder, model, model) | _describe_pairs(taken) | {"kept_in_float": []}


def lower_fp16(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    """Write the float16 graph; layers that float16 cannot hold, or that spoil an output, stay in float32."""
    taken, model = _read_checked(request)
    lowering = lower_float16(
        model, request.feeds, sqnr_db_min=_find_sqnr_db_min(request, "fp16"), start_steps=start_steps
    )
    return {
        "notes": _note_empty(lowering.model),
        **_finish(request, folder, model, lowering.model),
        **_describe_pairs(taken),
        "sqnr_db": dict(lowering.sqnr_db),
        "held_back": list(lowering.kept_in_float),
        "kept_in_float": _describe_kept(
            model,
            {**explain_subgraphs(model, _MULTIPLYING, "float16 reaches the main graph only"), **lowering.kept_in_float},
        ),
    }


def lower_int8(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    """Write the int8 graph, with float16 around it where the target lists fp16, and float32 where it does not."""
    taken, checked = _read_checked(request)
    widened = widen(checked, request.feeds)
    float16 = "fp16" in request.target.listed_precisions
    sqnr_db_min = _find_sqnr_db_min(request, "int8")
    plain = tensorrt_policy(float16=float16, finish=lambda made: made)
    smoothing = Smoothing(model=widened.model, factors={})
    if read_ranges(widened.model) is None:
        smoothing = smooth_outliers(
            widened.model,
            request.feeds,
            plain.scheme,
            kernels=None,
            enough_db=sqnr_db_min + AMPLE_DB,
            static=plain,
        )
    model, unsafe = smoothing.model, dict[str, str]()
    if float16:
        around = lower_float16(
            drop_ranges(model), request.feeds, sqnr_db_min=sqnr_db_min + _AROUND_INT8_DB, start_steps=start_steps
        )
        unsafe = dict(around.kept_in_float)
    keep_float32 = frozenset(unsafe)
    lowering = lower_to_int8(
        model,
        request.feeds,
        options=request.options,
        policy=replace(
            plain,
            finish=lambda made: convert_to_float16(made, keep_float32) if float16 else made,
            timed_on=_find_timing_runtime(request),
        ),
        sqnr_db_min=sqnr_db_min,
        threads=request.target.threads,
        start_steps=start_steps,
        task=request.task,
    )
    return {
        **_finish(request, folder, model, lowering.model),
        **_describe_pairs(taken),
        **describe_int8(lowering, notes=widened.notes),
        "smoothing": smoothing.describe(),
        "around_int8": "float16" if float16 else "float32",
        "kept_in_float32": _describe_kept(model, unsafe),
    }


def _find_timing_runtime(request: LowerRequest) -> str | None:
    """Return the runtime that layers are timed on, where the board is this machine and builds engines for its GPU; else None."""
    target, facts = request.target, request.facts
    is_here = facts.runtime == target.runtime == "tensorrt" and not target.emulated and is_this_accelerator(facts)
    return target.runtime if is_here and target.build.dla_core is None else None


def profile_layers(
    model: onnx.ModelProto,
    inputs: Mapping[str, NDArray[np.generic]],
    *,
    threads: int,  # noqa: ARG001 - of the seam: the GPU has its own
) -> dict[str, float]:
    """Return the median time of each layer in microseconds that has a kernel of its own. Not yet run on hardware.

    Raises ToolchainError (exit 20) where TensorRT's profile cannot be used.
    """
    board: Any = find_runtime("tensorrt")  # by its name: what it imports need not be installed where this is read
    layers = [node.name for node in model.graph.node if node.op_type in _MULTIPLYING]
    with TemporaryFolder() as folder:
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        build = request_trial_build(path, inputs, folder)
        times = board.time_layers(path, inputs, build=build, layers=layers, runs=_PROFILED_RUNS)
    return {name: statistics.median(values) for name, values in times.items()}


def preview(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Int8Policy]:
    """Return the model as int8 would be planned for it, and the policy (toolchain/lower/preview.py).

    Raises ToolchainError (exit 12) for an operator that TensorRT does not take.
    """
    check_operators(model)
    taken = take_foreign_pairs(model).model
    policy = tensorrt_policy(float16=True, finish=lambda made: made)
    return lower_opset(rewrite_group_normalization(lower_equations(taken))), policy


def _read_checked(request: LowerRequest) -> tuple[TakenPairs, onnx.ModelProto]:
    """Return the float model in the opset of TensorRT, after the preflight of its operators, and what it came with."""
    model = onnx.load(request.model)
    check_operators(model)
    taken = take_foreign_pairs(model)
    if taken.model is not model:
        _check_taken(model, taken.model, request)
    return taken, lower_opset(rewrite_group_normalization(lower_equations(taken.model)))


def _check_taken(model: onnx.ModelProto, taken: onnx.ModelProto, request: LowerRequest) -> None:
    """Refuse (exit 18) a model that computes something else with its pairs put back."""
    learned = read_ranges(taken)
    restored = drop_ranges(taken if learned is None else restore_pairs(taken, learned))
    feeds = [dict(feed) for feed in request.feeds[:_PAIR_SAMPLES]]
    before, after = HostSession(model), HostSession(restored)
    outputs = [(before.run(feed), after.run(feed)) for feed in feeds]
    limits = dict.fromkeys((spec.name for spec in before.outputs), _PAIR_SQNR_DB_MIN)
    check_float_parity("taking the pairs out", outputs, sqnr_db_min=limits)


def _describe_pairs(taken: TakenPairs) -> dict[str, Any]:
    """Return what lowering.json says of the pairs that the model came with; nothing where it had none."""
    if not taken.exact and not taken.requantized:
        return {}
    return {"came_quantized": {"exact": taken.exact, "requantized": taken.requantized}}


def _finish(
    request: LowerRequest, folder: Path, float_model: onnx.ModelProto, model: onnx.ModelProto
) -> dict[str, Any]:
    """Write model.onnx, and let NVIDIA's parser judge it where it is there."""
    sparse = find_sparse_layers(float_model)
    profile = find_profile(request.feeds)
    if is_installed():
        check_parses(model)
    write_onnx(model, folder / "model.onnx", step=f"lowering to {request.precision} for TensorRT")
    return {
        "parsed_by_nvidia": is_installed(),
        "sparse_2_4": sparse,
        "profile": {name: asdict(shapes) for name, shapes in profile.items()},
    }


def _note_empty(model: onnx.ModelProto) -> list[str]:
    """Return the sentence about a lowering to fp16 in which nothing is float16: it must never go unsaid."""
    float16 = onnx.TensorProto.FLOAT16
    given = {value.type.tensor_type.elem_type for value in model.graph.input}
    stored = {tensor.data_type for tensor in model.graph.initializer}
    cast = {attribute_int(node, "to", 0) for node in model.graph.node if node.op_type == "Cast"}
    if float16 in given | stored | cast:
        return []
    return ["no layer is in fp16: what is not float32 in the main graph stays as it came"]


def _find_sqnr_db_min(request: LowerRequest, precision: str) -> float:
    return request.sqnr_db_min.get(precision, DEFAULT_SQNR_DB_MIN[precision])


def _describe_kept(model: onnx.ModelProto, reasons: Mapping[str, str]) -> list[dict[str, str]]:
    ops = list_operators(model)
    return [{"name": name, "op": ops[name], "reason": reason} for name, reason in reasons.items()]


LOWERINGS: Mapping[str, Lowering] = {"float32": lower_float32, "fp16": lower_fp16, "int8": lower_int8}
