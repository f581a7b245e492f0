"""What an ONNX file holds, and what each target would take of it; what lowers it is asked, and so has to be installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.errors import ToolchainError
from toolchain.graph.facts import GraphFacts, describe_facts, read_facts
from toolchain.graph.file import read_onnx
from toolchain.graph.node_names import name_nodes
from toolchain.lower.preview import Preview, preview_int8
from toolchain.optimize.inline_functions import apply as inline_functions
from toolchain.project.find import list_targets
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import LOWERINGS
from toolchain.project.target import Target, read_target
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.progress import Progress


def inspect_onnx(path: Path, *, progress: Progress) -> dict[str, Any]:
    """Return what an ONNX file holds, in JSON types; it is read in a confined process.

    Raises ToolchainError (exit 23) for a malformed file.
    """
    targets = _read_targets()
    for target in targets.values():  # imported here: libraries would count against the limits on memory
        for runtime in target.runtimes:
            load_member(find_member(LOWERINGS, runtime))
    found: dict[str, Any] = confine(
        lambda _: _inspect(path, targets),
        limits=Limits(model_bytes=measure_files([path])),
        progress=progress,
        where=str(path),
    )
    return found


def _read_targets() -> dict[str, Target]:
    """Return the targets; one that cannot be read is for the command that names it to explain."""
    targets = {}
    for name, path in list_targets().items():
        try:
            targets[name] = read_target(path)
        except ToolchainError:
            continue
    return targets


def _inspect(path: Path, targets: Mapping[str, Target]) -> dict[str, Any]:
    model = name_nodes(inline_functions(read_onnx(path)).model)
    facts = read_facts(model)
    runtimes = {runtime for target in targets.values() for runtime in target.runtimes}
    previews = {runtime: preview_int8(runtime, model) for runtime in sorted(runtimes)}
    return {
        "kind": "onnx",
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "graph": describe_facts(facts),
        "targets": [
            _describe_target(name, target, runtime, previews[runtime], facts)
            for name, target in targets.items()
            for runtime in target.runtimes
        ],
    }


def _describe_target(
    name: str, target: Target, runtime: str, preview: Preview | None, facts: GraphFacts
) -> dict[str, Any]:
    """Return what a target would take of one of its runtimes; the share is of the MACs that can be counted."""
    row: dict[str, Any] = {"target": name, "runtime": runtime, "precision": list(target.precision)}
    if preview is None:
        return {
            **row,
            "int8": None,
            "kept_in_float": {},
            "refused": None,
            "came_quantized": None,
            "int8_share_macs": None,
        }
    macs = {layer.name: layer.macs or 0 for layer in facts.layers}
    share = sum(macs.get(layer, 0) for layer in preview.int8) / facts.macs if facts.macs else None
    plans_int8 = "int8" in target.precision
    return {
        **row,
        "int8": list(preview.int8) if plans_int8 else None,
        "int8_share_macs": share if plans_int8 and not preview.came_quantized else None,
        "kept_in_float": dict(preview.kept_in_float) if plans_int8 else {},
        "refused": preview.refused,
        "came_quantized": preview.came_quantized,
    }
