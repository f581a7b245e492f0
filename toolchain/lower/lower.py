"""Lowering: writes DIR/model.onnx, what the runtime gets, and DIR/lowering.json, what was decided and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import onnx

from toolchain.errors import usage
from toolchain.graph.file import write_onnx
from toolchain.graph.learned_ranges import drop_ranges, read_ranges
from toolchain.graph.opset import describe_opset
from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import LOWERINGS


def lower_model(request: LowerRequest, folder: Path, *, start_steps: StartSteps) -> None:
    """Write model.onnx and lowering.json into a folder; model.engine too where an engine is built on the host.

    Raises ToolchainError: exit 2 for a precision that the target does not list or the runtime does not have, exit 12
    for a graph that the runtime cannot take.
    """
    target, precision = request.target, request.precision
    lowerings = find_lowerings(target.runtime)
    if precision not in lowerings:
        raise usage(
            f"there is no {precision} lowering for {target.runtime}",
            where=f"target {target.name}",
            expected=f"one of {', '.join(lowerings)}",
            found=precision,
            fix=f"take {precision} out of the target's precision, or choose another target",
        )
    lowered = lowerings[precision](request, folder, start_steps)
    document = {"runtime": target.runtime, "precision": precision, **lowered}
    document["trained_for_int8"] = read_ranges(onnx.load(request.model)) is not None
    _drop_ranges(folder / "model.onnx")
    document["opset"] = describe_opset(onnx.load(folder / "model.onnx"))
    (folder / "lowering.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def find_lowerings(runtime: str) -> Mapping[str, Lowering]:
    """Return the lowerings for a runtime by precision; raises ToolchainError (exit 2) for a runtime that has none."""
    lowerings: Mapping[str, Lowering] = load_member(find_member(LOWERINGS, runtime)).LOWERINGS
    return lowerings


def _drop_ranges(path: Path) -> None:
    """Leave what was learned out of the payload: the lowering has used it."""
    payload = onnx.load(path)
    if (dropped := drop_ranges(payload)) is not payload:
        write_onnx(dropped, path, step="leaving learned ranges out")
