"""What operator fusion and a channels-last layout gain on this CPU: ours in the file, ONNX Runtime's in the session.

    python -m benchmarks.fusion

For each model one JSON line of ratios (how many times as fast, with 99 % intervals), interleaved in one run, one thread,
batch 1. passes: the float model after our passes against the model as exported. fusion: ONNX Runtime's graph optimizations
at their second level ("extended") against none. blocked: its NCHWc layout for float against without. channels_last: its
NHWC layout for int8 against without. mobilenet_v3_small has random weights: latency does not depend on their values.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torchvision

from toolchain import stages
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.module.weights import save_weights
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe, read_recipe
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress

_NONE = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
_EXTENDED = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
_ALL = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def _write_mobilenet_v3_recipe(folder: Path) -> Path:
    torch.manual_seed(0)
    save_weights(torchvision.models.mobilenet_v3_small(weights=None), folder / "weights.safetensors", {})
    np.savez(folder / "pictures.npz", input=np.random.default_rng(0).normal(size=(32, 3, 224, 224)).astype(np.float32))
    (folder / "model.py").write_text(
        "import torchvision\n\n\ndef build():\n    return torchvision.models.mobilenet_v3_small(weights=None)\n",
        encoding="utf-8",
    )
    recipe = folder / "recipe.toml"
    recipe.write_text(
        '[model]\nbuild = "model.py:build"\nweights = "weights.safetensors"\n\n'
        '[data]\nname = "npz"\noptions = { path = "pictures.npz" }\nmetric = "none"\ncalibration_samples = 32\n\n'
        "[quantize]\nchoose_by_measurement = false\n\n[gates]\nsqnr_db_min = { int8 = 0.0 }\n",
        encoding="utf-8",
    )
    return recipe


def _open(path: Path, level: Any, *disabled: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(disabled)
    )


def _bind_run(session: onnxruntime.InferenceSession, feed: dict[str, Any]) -> Callable[[], object]:
    return lambda: session.run(None, feed)


def measure_model(recipe: Recipe, progress: Progress) -> dict[str, Any]:
    """Return the row of one model."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    target = find_target("cpu")
    exported = stages.export(run, stages.train(run))
    optimized = stages.optimize(run, exported)
    quantized = stages.lower(run, optimized, target, "int8", read_facts("onnxruntime"), exported=exported)
    before, after, int8 = (entry.folder / "model.onnx" for entry in (exported, optimized, quantized))
    sessions = {
        "exported": _open(before, _ALL),
        "float": _open(after, _ALL),
        "unfused": _open(after, _NONE),
        "fused": _open(after, _EXTENDED),
        "unblocked": _open(after, _ALL, "NchwcTransformer"),
        "int8": _open(int8, _ALL),
        "int8 channels first": _open(int8, _ALL, "NhwcTransformer"),
    }
    feed = run.bind_calibration(after, 1)[0]
    measured = measure_latency({name: _bind_run(session, feed) for name, session in sessions.items()})
    pairs = {
        "passes": ("exported", "float"),
        "fusion": ("unfused", "fused"),
        "blocked": ("unblocked", "float"),
        "channels_last": ("int8 channels first", "int8"),
    }
    ratios = {name: measured.compare(*pair) for name, pair in pairs.items()}
    return {
        "model": recipe.name,
        "cpu": read_facts("onnxruntime").cpu,
        "float_p50_ms": round(measured.summarize("float").p50_ms or 0.0, 4),
        **{
            name: [round(value, 3) for value in (ratio.ratio, ratio.low, ratio.high) if value is not None]
            for name, ratio in ratios.items()
        },
    }


def main() -> None:
    """Print one row per model."""
    with tempfile.TemporaryDirectory() as folder, Progress(stream=sys.stderr) as progress:
        mobilenet = Path(folder) / "mobilenet_v3_small"
        mobilenet.mkdir()
        for recipe in (find_recipe("resnet8"), read_recipe(_write_mobilenet_v3_recipe(mobilenet))):
            sys.stdout.write(json.dumps(measure_model(recipe, progress)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
