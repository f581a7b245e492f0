"""Lowering for a runtime that opens ONNX files on a CPU: what such runtimes share, whatever their int8 policies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.graph.file import write_onnx
from toolchain.lower.came_quantized import came_quantized, describe_passed_through
from toolchain.lower.float_graph import bind_comparison, choose_float_graph
from toolchain.lower.int8 import describe_int8, lower_int8
from toolchain.lower.layer_times import name_layers
from toolchain.lower.policy import Int8Policy
from toolchain.lower.request import LowerRequest, StartSteps
from toolchain.lower.trial import find_kernels
from toolchain.lower.widened import widen

WritePayload = Callable[[onnx.ModelProto, Path], dict[str, Any]]
"""Writes a model to a path and returns what lowering.json says of how it is stored."""


def write_plain(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    """Write the model as it is."""
    write_onnx(model, path, step="lowering")
    return {}


def lower_to_float(request: LowerRequest, folder: Path, *, write: WritePayload) -> dict[str, Any]:
    """Write our optimized float graph, or the user's own where that is smaller or faster; return lowering.json's part."""
    kernels = find_kernels(request.target.runtime, request.facts) if request.options.choose_by_measurement else None
    choice = choose_float_graph(
        onnx.load(request.model),
        onnx.load(request.exported),
        None if kernels is None else bind_comparison(request.feeds[0], kernels, threads=request.target.threads),
    )
    return {
        "kept_in_float": [],
        "optimization": choice.describe(),
        **write(choice.model, folder / "model.onnx"),
    }


def lower_to_int8(
    request: LowerRequest, folder: Path, start_steps: StartSteps, *, policy: Int8Policy, write: WritePayload
) -> dict[str, Any]:
    """Write the int8 model of a policy; one that came quantized is passed through; return lowering.json's part."""
    model, path = onnx.load(request.model), folder / "model.onnx"
    if came_quantized(model):
        return {**describe_passed_through(model), "layer_names": {}, **write(model, path)}
    widened = widen(model, request.feeds)
    lowering = lower_int8(
        widened.model,
        request.feeds,
        options=request.options,
        policy=policy,
        sqnr_db_min=request.sqnr_db_min.get("int8", DEFAULT_SQNR_DB_MIN["int8"]),
        threads=request.target.threads,
        start_steps=start_steps,
        task=request.task,
    )
    document = describe_int8(lowering, notes=widened.notes)
    multiplying = [layer["name"] for layer in document["kept_in_float"]] + list(lowering.plan.weighted_layers)
    return {**document, "layer_names": name_layers(lowering.model, multiplying), **write(lowering.model, path)}
