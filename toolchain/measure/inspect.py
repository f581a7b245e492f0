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
from toolchain.errors import usage
from toolchain.graph.facts import describe_facts, read_facts
from toolchain.graph.file import read_onnx
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits, measure_files
from toolchain.run.extras import require_build
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
    require_build(f"inspect {path}")
    from toolchain.measure.inspect_onnx import inspect_onnx

    return inspect_onnx(path, progress=progress)


def _inspect_bundle(folder: Path, progress: Progress) -> dict[str, Any]:
    data = read_manifest_bytes(folder)
    signature = authenticate_bundle(folder, data, None)
    manifest = parse_manifest(data)
    check_contents(folder, manifest)
    paths = [candidate.path for candidate in manifest.candidates if candidate.path.endswith(_ONNX)]
    graphs = confine(
        lambda _: {path: describe_facts(read_facts(read_onnx(folder / path))) for path in paths},
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
                "name": name,
                "precision": candidate.precision,
                "runtime": candidate.runtime,
                "threads": candidate.threads,
                "pins_threads": candidate.pins_threads,
                "path": candidate.path,
                "size_bytes": (folder / candidate.path).stat().st_size,
                "graph": graphs.get(candidate.path),
            }
            for name, candidate in zip(manifest.names, manifest.candidates, strict=True)
        ],
    }


def _describe_manifest(manifest: Manifest) -> dict[str, Any]:
    names: Sequence[str] = ("model", "target", "emulated", "signature", "counter", "expires")
    return {
        **{name: getattr(manifest, name) for name in names},
        "runtimes": list(manifest.runtimes),
        "threads": list(dict.fromkeys(threads for _, threads, _ in manifest.ways)),
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
