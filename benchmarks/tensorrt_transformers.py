"""Transformers lowered for TensorRT: what the corrections keep, on samples that calibration did not see.

    python -m benchmarks.tensorrt_transformers [--folder FOLDER] [MODEL ...]

One JSON line per model and level: the least SQNR over the outputs in dB by the CPU's simulation of the graph, how many layers
are int8 and how many could be, what stays in float32, and whether NVIDIA's parser and builder take the graph. Levels: plain
(pairs by the least and greatest values), corrected (channels migrated, outputs regressed; every layer in int8 all the same),
lowered (what `toolchain lower --target jetson` makes), fp16. No engine was run. --folder keeps what was downloaded (70 MB).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx

from benchmarks.lowering_time import fetch, list_feeds
from benchmarks.wild_inputs import Feed
from toolchain.agent.manifest import Precision
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.parity import Parity
from toolchain.errors import ToolchainError
from toolchain.graph.file import read_onnx, write_onnx
from toolchain.graph.session import HostSession
from toolchain.lower import LowerRequest, lower_model
from toolchain.lower.calibration import calibrate
from toolchain.lower.runtimes.tensorrt import preview
from toolchain.lower.tensorrt.profile import find_profile
from toolchain.lower.tensorrt.rtx import build_engine
from toolchain.lower.trial import open_emulated
from toolchain.optimize import optimize
from toolchain.project.find import find_target
from toolchain.project.recipe import QuantizeSection

_MODELS = ("vital-paraphrase-MiniLM-L3-v2", "all-MiniLM-L6-v2", "vit_s_focus")
_CALIBRATION, _EVALUATED = 64, 32
# Under this no layer goes back to float.
_NO_GATE_DB = -300.0


def _write_plain(model: onnx.ModelProto, feeds: Sequence[Feed]) -> tuple[onnx.ModelProto, int]:
    """Return the model with a pair in front of each layer, by the least and the greatest value, and the number of layers."""
    prepared, policy = preview(model)
    plan = policy.plan(prepared, frozenset())
    ranges = calibrate(prepared, plan.tensors, feeds, method="minmax", symmetric=True)
    return policy.write(prepared, ranges, frozenset()), len(plan.weighted_layers)


def _lower(
    path: Path, feeds: Sequence[Feed], folder: Path, precision: Precision, gate_db: float | None
) -> dict[str, Any]:
    request = LowerRequest(
        model=path,
        exported=path,
        target=find_target("jetson").narrow(precision),
        precision=precision,
        facts=read_facts("onnxruntime"),
        feeds=feeds,
        options=QuantizeSection(),
        sqnr_db_min={} if gate_db is None else {precision: gate_db},
    )
    lower_model(request, folder, start_steps=lambda _name, _total: lambda: None)
    document: dict[str, Any] = json.loads((folder / "lowering.json").read_text(encoding="utf-8"))
    return document


def _judge(model: onnx.ModelProto, made: onnx.ModelProto, evaluation: Sequence[Feed]) -> dict[str, Any]:
    parity, before, after = Parity(), HostSession(model), open_emulated(made, threads=1)
    for feed in evaluation:
        parity.add(before.run(feed), after.run(feed))
    try:
        profile = find_profile(evaluation)
        build_engine(made, compute_capabilities=["8.6"], profile=profile, sparse_weights=False)
    except ToolchainError as error:
        return {"accepted": False, "error": str(error).replace("\n", " ")}
    return {"sqnr_db": round(min(row.sqnr_db for row in parity.summarize()), 1), "accepted": True}


def judge_model(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each level of a model."""
    calibration = list_feeds(path, 0, _CALIBRATION)
    evaluation = list_feeds(path, _CALIBRATION, _CALIBRATION + _EVALUATED)
    model = read_onnx(path, trusted=True)
    optimized = optimize(model, calibration[:4]).model
    plain, layers = _write_plain(optimized, calibration)
    yield {"model": path.stem, "level": "plain", "layers": [layers, layers], **_judge(model, plain, evaluation)}
    levels: list[tuple[str, Precision, float | None]] = [
        ("corrected", "int8", _NO_GATE_DB),
        ("lowered", "int8", None),
        ("fp16", "fp16", None),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_onnx(optimized, folder / "optimized.onnx", step="optimizing")
        for level, precision, gate_db in levels:
            document = _lower(folder / "optimized.onnx", calibration, folder, precision, gate_db)
            int8 = sum(layer["op"] != "Add" for layer in document.get("layers", []))
            row = {"model": path.stem, "level": level, "layers": [int8, layers]}
            kept = document.get("kept_in_float32", document["kept_in_float"] if precision == "fp16" else [])
            row["in_float32"] = len(kept)
            row["migrated"] = len(document.get("smoothing", {}).get("tensors", []))
            yield row | _judge(model, onnx.load(folder / "model.onnx"), evaluation)


def main() -> None:
    """Print a row per model and level."""
    parser = argparse.ArgumentParser(description="Measure what TensorRT's graphs of transformers keep.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(_MODELS))
    parser.add_argument("--folder", type=Path, help="where models are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.models or _MODELS:
            for row in judge_model(fetch(name, options.folder or Path(temporary))):
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
