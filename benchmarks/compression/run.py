"""Runs a row as a user would, `toolchain deploy` in a process of its own, and keeps what report.json says of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import onnx
import tomli_w

from benchmarks.compression.rows import Row

_FOLDER = Path(__file__).parent
_REPOSITORY = _FOLDER.parent.parent
RESULTS = _FOLDER.parent / "results" / "compression"


def find_recipe(row: Row) -> Path:
    """Return the row's recipe."""
    return _FOLDER / f"{row.name}.toml"


def find_result(row: Row, seed: int) -> Path:
    """Return the file with what one run of the row left."""
    return RESULTS / (f"{row.name}.json" if len(row.seeds) == 1 else f"{row.name}-seed{seed}.json")


def run_row(row: Row, seed: int) -> int:
    """Deploy the row with a seed, keep the essential keys of its report, and return the exit code."""
    out = _REPOSITORY / "dist" / "compression" / (row.name if len(row.seeds) == 1 else f"{row.name}-seed{seed}")
    recipe = find_recipe(row)
    # Beside the row's own recipe, as the paths in it are relative to that; git ignores it.
    derived = recipe if seed == 0 else recipe.with_name(f"{row.name}-seed{seed}.toml")
    try:
        if derived != recipe:
            document = tomllib.loads(recipe.read_text(encoding="utf-8"))
            derived.write_text(tomli_w.dumps(set_seeds(document, seed)), encoding="utf-8")
        command = ["deploy", str(derived.relative_to(_REPOSITORY)), "--target", "cpu", "--precision", row.precision]
        done = subprocess.run(
            [sys.executable, "-m", "toolchain", *command, "--out", str(out)],
            cwd=_REPOSITORY,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    finally:
        if derived != recipe:
            derived.unlink(missing_ok=True)
    if (out / "report.json").is_file():
        RESULTS.mkdir(parents=True, exist_ok=True)
        result = {"row": row.name, "seed": seed, "command_exit_code": done.returncode, **read_result(out)}
        find_result(row, seed).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return done.returncode


def set_seeds(value: Any, seed: int) -> Any:
    """Return a document with this seed in the place of every seed."""
    if isinstance(value, dict):
        return {key: seed if key == "seed" else set_seeds(item, seed) for key, item in value.items()}
    if isinstance(value, list):
        return [set_seeds(item, seed) for item in value]
    return value


def read_result(out: Path) -> dict[str, Any]:
    """Return the essential keys of OUT/report.json, and the channels of both models where there is a bundle."""
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    latency, placement, device = report["latency"], report["placement"], report["device"] or {}
    result: dict[str, Any] = {key: report[key] for key in ("verdict", "exit_code", "reasons", "error", "precision")}
    result["metric"] = report["metric"]
    result["size_bytes"] = None if report["artifact"] is None else report["artifact"]["size_bytes"]
    result["reference_size_bytes"] = None if report["original"] is None else report["original"]["size_bytes"]
    keys = ("speedup", "speedup_low", "speedup_high")
    result["latency"] = latency and {
        **{key: latency[key] for key in keys},
        "threads": latency["threads"],
        "reference_p50_ms": latency["reference"]["p50_ms"],
        "deployed_p50_ms": latency["deployed"]["p50_ms"],
    }
    result["macs"] = placement and placement["macs"]
    for name, key in (("artifact", "convolution_channels"), ("reference", "reference_convolution_channels")):
        result[key] = report[name] and count_channels(out / report[name]["path"])
    result["stages_s"] = {stage["name"]: stage["duration_s"] for stage in report["stages"] if not stage["cached"]}
    result["device"] = {key: device.get(key) for key in ("cpu", "runtime", "runtime_version")}
    result["git_commit"] = report["provenance"].get("git_commit")
    return result


def count_channels(path: Path) -> list[int] | None:
    """Return the output channels of each convolution in an ONNX file; None where a weight is no plain initializer."""
    if not path.is_file():
        return None
    graph = onnx.load(path).graph
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    weights = [node.input[1] for node in graph.node if node.op_type in ("Conv", "FusedConv")]
    return [int(shapes[name][0]) for name in weights] if all(name in shapes for name in weights) else None
