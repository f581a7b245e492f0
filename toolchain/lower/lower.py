"""Lowering: writes DIR/model.onnx, what the runtime gets, and DIR/lowering.json, what was decided and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.measure.facts import is_this_cpu
from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.errors import usage
from toolchain.graph.file import write_onnx
from toolchain.graph.learned_ranges import drop_ranges, read_ranges
from toolchain.graph.opset import describe_opset
from toolchain.lower.came_quantized import came_quantized, describe_passed_through
from toolchain.lower.float_graph import bind_comparison, choose_float_graph
from toolchain.lower.int8 import describe_int8, lower_int8
from toolchain.lower.layer_times import name_layers
from toolchain.lower.packing import pack_weights
from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.lower.runtimes import tensorrt
from toolchain.lower.runtimes.onnxruntime import choose_scheme, int8_policy
from toolchain.lower.widened import widen


def lower_model(request: LowerRequest, folder: Path, *, start_steps: StartSteps) -> None:
    """Write model.onnx and lowering.json into a folder; model.engine too where an engine is built on the host.

    Raises ToolchainError: exit 2 for a precision that the target does not list or the runtime does not have, exit 12
    for a graph that the runtime cannot take.
    """
    target, precision = request.target, request.precision
    lowering = _LOWERINGS.get((target.runtime, precision))
    if lowering is None:
        known = ", ".join(f"{runtime} {name}" for runtime, name in _LOWERINGS)
        raise usage(
            f"there is no {precision} lowering for {target.runtime}",
            where=f"target {target.name}",
            expected=f"one of {known}",
            found=f"{target.runtime} {precision}",
        )
    document = {"runtime": target.runtime, "precision": precision, **lowering(request, folder, start_steps)}
    document["trained_for_int8"] = read_ranges(onnx.load(request.model)) is not None
    _drop_ranges(folder / "model.onnx")
    document["opset"] = describe_opset(onnx.load(folder / "model.onnx"))
    (folder / "lowering.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def _drop_ranges(path: Path) -> None:
    """Leave what was learned out of the payload: the lowering has used it."""
    payload = onnx.load(path)
    if (dropped := drop_ranges(payload)) is not payload:
        write_onnx(dropped, path, step="leaving learned ranges out")


def _lower_float32(request: LowerRequest, folder: Path, _start_steps: StartSteps) -> dict[str, Any]:
    """ONNX Runtime takes the float model as it is, optimized or the user's own, with its weights packed."""
    is_here = is_this_cpu(request.facts) and request.options.choose_by_measurement
    choice = choose_float_graph(
        onnx.load(request.model),
        onnx.load(request.exported),
        bind_comparison(request.feeds[0], threads=request.target.threads) if is_here else None,
    )
    return {
        "kept_in_float": [],
        "optimization": choice.describe(),
        "packed_weights": _write_packed(choice.model, folder),
    }


def _lower_int8(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    facts, model = request.facts, onnx.load(request.model)
    if came_quantized(model):
        return {**describe_passed_through(model), "layer_names": {}, "packed_weights": _write_packed(model, folder)}
    scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), request.target.activation_type)
    widened = widen(model, request.feeds)
    lowering = lower_int8(
        widened.model,
        request.feeds,
        options=request.options,
        policy=int8_policy(scheme, host_kernels=is_this_cpu(facts)),
        sqnr_db_min=request.sqnr_db_min.get("int8", DEFAULT_SQNR_DB_MIN["int8"]),
        threads=request.target.threads,
        start_steps=start_steps,
    )
    document = describe_int8(lowering, notes=widened.notes)
    multiplying = [layer["name"] for layer in document["kept_in_float"]] + list(lowering.plan.weighted_layers)
    return {
        **document,
        "layer_names": name_layers(lowering.model, multiplying),
        "packed_weights": _write_packed(lowering.model, folder),
    }


def _write_packed(model: onnx.ModelProto, folder: Path) -> list[dict[str, Any]]:
    """Write the model with packed weights; return what was packed, and how."""
    packed_model, packed = pack_weights(model)
    write_onnx(packed_model, folder / "model.onnx", step="packing" if packed else "lowering")
    return [asdict(weight) for weight in packed]


_LOWERINGS: Mapping[tuple[str, str], Lowering] = {
    ("onnxruntime", "float32"): _lower_float32,
    ("onnxruntime", "int8"): _lower_int8,
    ("tensorrt", "float32"): tensorrt.lower_float32,
    ("tensorrt", "fp16"): tensorrt.lower_fp16,
    ("tensorrt", "int8"): tensorrt.lower_int8,
    ("tensorrt_rtx", "float32"): tensorrt.lower_float32,
    ("tensorrt_rtx", "fp16"): tensorrt.lower_fp16,
    ("tensorrt_rtx", "int8"): tensorrt.lower_int8,
}
