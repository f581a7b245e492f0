"""What an ONNX file or a bundle holds, and what each target would take of it: nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolchain.agent.bundle_files import MANIFEST_NAME
from toolchain.agent.contents import check_contents
from toolchain.agent.manifest import Manifest, compute_bundle_id, parse_manifest, read_manifest_bytes
from toolchain.bundle.authenticate import authenticate_bundle
from toolchain.errors import ToolchainError, usage
from toolchain.graph.facts import GraphFacts, read_facts
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

_ONNX = ".onnx"
# Where a bundle lies in what people name: a deploy's results, a board's folder.
_WITHIN = ("", "bundle", "current")


def inspect_path(path: Path, *, progress: Progress) -> dict[str, Any]:
    """Return what an ONNX file, a bundle, a deploy's folder or a board's release holds, in JSON types.

    What is in it is read in a confined process. Raises ToolchainError: exit 2 for another path, 10 and 11 for a bundle whose
    signature or files are not those of its manifest, 23 for a malformed file.
    """
    folder = next((path / name for name in _WITHIN if (path / name / MANIFEST_NAME).is_file()), None)
    if folder is not None:
        return _inspect_bundle(folder, progress)
    if path.suffix != _ONNX or not path.is_file():
        raise usage(
            "there is nothing to inspect",
            where=str(path),
            expected="an .onnx file, a bundle's folder, a deploy's (dist/MODEL/TARGET) or a board's release",
            found="a folder without a manifest" if path.is_dir() else "another file" if path.exists() else "nothing",
            fix="check the path",
        )
    targets = _read_targets()
    for target in targets.values():  # imported here: libraries would count against the limits on memory
        load_member(find_member(LOWERINGS, target.runtime))
    found: dict[str, Any] = confine(
        lambda _: _inspect_onnx(path, targets),
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


def _inspect_onnx(path: Path, targets: Mapping[str, Target]) -> dict[str, Any]:
    model = name_nodes(inline_functions(read_onnx(path)).model)
    facts = read_facts(model)
    previews = {target.runtime: preview_int8(target.runtime, model) for target in targets.values()}
    return {
        "kind": "onnx",
        "path": str(path),
        "size_bytes": path.stat().st_size,
        "graph": _describe(facts),
        "targets": [
            _describe_target(name, target, previews[target.runtime], facts) for name, target in targets.items()
        ],
    }


def _describe(facts: GraphFacts) -> dict[str, Any]:
    document = asdict(facts)
    return {**document, "macs": facts.macs, "uncounted": [layer.name for layer in facts.uncounted]}


def _describe_target(name: str, target: Target, preview: Preview | None, facts: GraphFacts) -> dict[str, Any]:
    """Return what a target would take; the share is of the MACs that can be counted."""
    row: dict[str, Any] = {"target": name, "runtime": target.runtime, "precision": list(target.precision)}
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


def _inspect_bundle(folder: Path, progress: Progress) -> dict[str, Any]:
    data = read_manifest_bytes(folder)
    signature = authenticate_bundle(folder, data, None)
    manifest = parse_manifest(data)
    check_contents(folder, manifest)
    paths = [candidate.path for candidate in manifest.candidates if candidate.path.endswith(_ONNX)]
    graphs = confine(
        lambda _: {path: _describe(read_facts(read_onnx(folder / path))) for path in paths},
        limits=Limits(model_bytes=measure_files(folder / path for path in paths)),
        progress=progress,
        where=str(folder),
    )
    return {
        "kind": "bundle",
        "path": str(folder),
        "bundle_id": compute_bundle_id(data),
        "signed": signature.is_there,
        **_describe_manifest(manifest),
        "candidates": [
            {
                "precision": candidate.precision,
                "path": candidate.path,
                "size_bytes": (folder / candidate.path).stat().st_size,
                "graph": graphs.get(candidate.path),
            }
            for candidate in manifest.candidates
        ],
    }


def _describe_manifest(manifest: Manifest) -> dict[str, Any]:
    names: Sequence[str] = ("model", "target", "runtime", "threads", "emulated", "signature", "counter", "expires")
    return {
        **{name: getattr(manifest, name) for name in names},
        "compatible": asdict(manifest.compatible),
        "inputs": [asdict(each) for each in manifest.inputs],
        "outputs": [asdict(each) for each in manifest.outputs],
        "metric": asdict(manifest.metric),
        "gates": asdict(manifest.gates),
        "golden_samples": manifest.golden.samples,
        "size_bytes": sum(entry.size_bytes for entry in manifest.files),
    }


def find_reasons(kept: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the layers that stay in float by their reason, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for layer, reason in kept.items():
        groups.setdefault(reason, []).append(layer)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))
