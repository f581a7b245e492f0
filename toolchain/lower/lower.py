"""Lowering: writes DIR/model.onnx, what the runtime gets, and DIR/lowering.json, what was decided and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.facts import Facts
from toolchain.agent.gates import DEFAULT_SQNR_DB_MIN
from toolchain.errors import usage
from toolchain.lower.int8 import Int8Lowering, StartSteps, lower_int8
from toolchain.lower.layer_times import name_layers
from toolchain.lower.onnxruntime import choose_scheme, explain_float, weighted_layers
from toolchain.lower.trial import Arrays
from toolchain.recipe import QuantizeSection
from toolchain.target import Precision, Target


@dataclass(frozen=True)
class LowerRequest:
    """What to lower, for which target, judged by which data."""

    model: Path
    """An optimized float ONNX file."""
    target: Target
    precision: Precision
    facts: Facts
    """Of the board, or of this machine where it stands in for its class."""
    feeds: Sequence[Arrays]
    """The calibration set, one run each."""
    options: QuantizeSection
    sqnr_db_min: Mapping[str, float]
    """By precision; the agent's defaults where the recipe says nothing."""


def lower_model(request: LowerRequest, folder: Path, *, start_steps: StartSteps) -> None:
    """Write model.onnx and lowering.json into a folder.

    Raises ToolchainError: exit 2 for a precision that the target does not list or the runtime does not have.
    """
    target, precision = request.target, request.precision
    lowerings: dict[tuple[str, str], Callable[[LowerRequest, Path, StartSteps], dict[str, Any]]] = {
        ("onnxruntime", "float32"): _lower_float32,
        ("onnxruntime", "int8"): _lower_int8,
    }
    lowering = lowerings.get((target.runtime, precision))
    if lowering is None:
        known = ", ".join(f"{runtime} {name}" for runtime, name in lowerings)
        raise usage(
            f"there is no {precision} lowering for {target.runtime}",
            where=f"target {target.name}",
            expected=f"one of {known}",
            found=f"{target.runtime} {precision}",
        )
    document = {"runtime": target.runtime, "precision": precision, **lowering(request, folder, start_steps)}
    (folder / "lowering.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def _lower_float32(request: LowerRequest, folder: Path, _start_steps: StartSteps) -> dict[str, Any]:
    """ONNX Runtime takes the float model as it is."""
    shutil.copyfile(request.model, folder / "model.onnx")
    return {"kept_in_float": []}


def _lower_int8(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    facts = request.facts
    lowering = lower_int8(
        onnx.load(request.model),
        request.feeds,
        options=request.options,
        scheme=choose_scheme(facts.arch, frozenset(facts.cpu_features), request.target.activation_type),
        sqnr_db_min=request.sqnr_db_min.get("int8", DEFAULT_SQNR_DB_MIN["int8"]),
        threads=request.target.threads,
        start_steps=start_steps,
    )
    (folder / "model.onnx").write_bytes(lowering.model.SerializeToString(deterministic=True))
    return _describe_int8(lowering)


def _describe_int8(lowering: Int8Lowering) -> dict[str, Any]:
    float_reasons = {**explain_float(lowering.model, lowering.plan), **lowering.kept_in_float}
    multiplying = [*float_reasons, *weighted_layers(lowering.plan)]
    ops = {node.name: node.op_type for node in lowering.model.graph.node}
    layers = [{"name": node.name, "op": node.op_type, "precision": "int8"} for node in lowering.plan.nodes]
    return {
        "scheme": asdict(lowering.scheme),
        "calibration_sqnr_db": dict(lowering.methods_db),
        "sqnr_db": dict(lowering.sqnr_db),
        "kept_in_float": [{"name": name, "op": ops[name], "reason": reason} for name, reason in float_reasons.items()],
        "layers": layers,
        "layer_names": name_layers(lowering.model, multiplying),
        "ranges": {name: [range_.low, range_.high] for name, range_ in lowering.ranges.items()},
        "speed_trials": [asdict(trial) for trial in lowering.trials],
    }
