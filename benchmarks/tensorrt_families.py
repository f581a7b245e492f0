"""Whether NVIDIA's parser and builder take our graphs of every classification family of torchvision, and of our models.

    python -m benchmarks.tensorrt_families [NAME ...]

For each model and precision, one JSON line: the engine that TensorRT for RTX builds ahead of time for compute capability
8.6 and 8.9 (bytes; the same on a second build), and what exactly this graph returns in ONNX Runtime on the CPU against
PyTorch. Weights are seeded random filters (benchmarks/families.py), so the int8 gate is off and every layer is int8; its
SQNR says that the graph is wired right, and nothing of accuracy. No GPU is needed; the engines are not yet run on
hardware. The last line counts.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.families import FAMILIES, build_family, read_pictures
from toolchain.agent.manifest import Precision
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.parity import Parity
from toolchain.errors import ToolchainError
from toolchain.lower import LowerRequest, lower_model
from toolchain.lower.tensorrt.profile import find_profile
from toolchain.lower.tensorrt.rtx import build_engine
from toolchain.lower.trial import Arrays, open_emulated
from toolchain.module.builder import build_model
from toolchain.module.export import export_onnx
from toolchain.module.pytorch_run import run_pytorch
from toolchain.module.weights import load_weights
from toolchain.optimize import optimize
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import QuantizeSection

_OURS = ("resnet8",)
_CALIBRATION = 2
_EVALUATION = 4
_COMPUTE_CAPABILITIES = ["8.6", "8.9"]
_PRECISIONS: tuple[Precision, ...] = ("fp16", "int8")
# Random filters amplify noise from layer to layer as trained ones do not. The gate of int8 is off, so that every layer is
# int8; that of float16 stands above a cosine of 0.9999, which is 37 dB.
_GATES_DB = {"int8": -200.0, "fp16": 40.0}


def open_module(name: str) -> tuple[nn.Module, int]:
    """Return a module in evaluation mode, and the size of its pictures."""
    if name in _OURS:
        recipe = find_recipe(name)
        model = build_model(recipe)
        load_weights(model, recipe.folder / (recipe.model.weights or ""))
        return model.eval(), 32
    family = next(family for family in FAMILIES if family.name == name)
    return build_family(family), family.size


def judge_model(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield one row per precision."""
    module, size = open_module(name)
    feeds = [{"input": read_pictures(index, index + 1, size=size)} for index in range(_CALIBRATION + _EVALUATION)]
    calibration, evaluation = feeds[:_CALIBRATION], feeds[_CALIBRATION:]
    export_onnx(module, calibration[0], folder / "exported.onnx")
    optimized = optimize(onnx.load(folder / "exported.onnx"), calibration[:2]).model
    onnx.save(optimized, folder / "optimized.onnx")
    for precision in _PRECISIONS:
        row: dict[str, Any] = {"model": name, "size": size, "precision": precision}
        started_s = time.monotonic()
        try:
            document = _lower(folder / "optimized.onnx", precision, calibration, folder)
            lowered = onnx.load(folder / "model.onnx")
            engine = (folder / "model.engine").read_bytes()
            again = build_engine(
                lowered,
                compute_capabilities=_COMPUTE_CAPABILITIES,
                profile=find_profile(calibration),
                sparse_weights=bool(document["sparse_2_4"]),
            )
        except ToolchainError as error:
            yield row | {"accepted": False, "error": str(error).replace("\n", " ")}
            continue
        yield {
            **row,
            "accepted": True,
            "compute_capabilities": _COMPUTE_CAPABILITIES,
            "engine_bytes": len(engine),
            "engine_sha256": hashlib.sha256(engine).hexdigest(),
            "same_bytes_twice": engine == again,
            "nodes": len(lowered.graph.node),
            "int8_layers": len(document.get("layers", [])),
            "kept_in_float32": [layer["name"] for layer in document.get("kept_in_float32", document["kept_in_float"])],
            **_judge_numerics(module, lowered, evaluation),
            "duration_s": round(time.monotonic() - started_s, 1),
        }


def _lower(model: Path, precision: Precision, feeds: Sequence[Arrays], folder: Path) -> dict[str, Any]:
    """Write model.onnx and model.engine, and return what lowering.json says."""
    target = find_target("rtx", precision=precision).model_copy(update={"compute_capabilities": _COMPUTE_CAPABILITIES})
    target = target.model_copy(update={"precision": list(_PRECISIONS)})
    request = LowerRequest(
        model=model,
        exported=model,
        target=target,
        precision=precision,
        facts=read_facts("onnxruntime"),
        feeds=feeds,
        options=QuantizeSection(calibration="minmax"),
        sqnr_db_min=_GATES_DB,
    )
    lower_model(request, folder, start_steps=lambda _name, _total: lambda: None)
    document: dict[str, Any] = json.loads((folder / "lowering.json").read_text(encoding="utf-8"))
    return document


def _judge_numerics(module: nn.Module, lowered: onnx.ModelProto, feeds: Sequence[Arrays]) -> dict[str, float]:
    session = open_emulated(lowered, threads=1)
    parity = Parity()
    for feed in feeds:
        parity.add(run_pytorch(module, dict(feed)), session.run(feed))
    (row,) = parity.summarize()
    return {"cosine": round(row.cosine, 7), "sqnr_db": round(row.sqnr_db, 1)}


def main() -> int:
    """Print one row per model and precision, and a count."""
    torch.set_num_threads(1)
    names = sys.argv[1:] or [*_OURS, *(family.name for family in FAMILIES)]
    rows: list[dict[str, Any]] = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for row in judge_model(name, Path(folder)):
                rows.append(row)
                print(json.dumps(row), flush=True)
    accepted = sum(row["accepted"] for row in rows)
    least = min(row["cosine"] for row in rows if row["accepted"] and row["precision"] == "fp16")
    print(json.dumps({"graphs": len(rows), "accepted": accepted, "least_fp16_cosine": float(np.round(least, 7))}))
    return 0 if accepted == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
