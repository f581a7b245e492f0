"""Whether what is decided by time holds on this machine: lowerings beside busy neighbours, and verdicts hour after hour.

    python -m benchmarks.noise layers [--models resnet8 ...] [--runs 10] [--loops 2]
    python -m benchmarks.noise verdicts [--count 20] [--pause-s 180]

layers: each model is lowered once on the machine as it is, then `runs` times while `loops` processes compute without end;
each lowering is made anew. One JSON line a model: how many chose the same layers for float as the quiet one, how many said
"undecided", and how many did neither, which must be one in ten at the most. Start it where nothing else runs.
verdicts: deploys resnet8 `count` times with pauses between. One JSON line a verdict, and one over all: how many of the
intervals share a point, of those that gave one (of 20, at least 19), and how long the longest deploy took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.flow import deploy_resnet8
from benchmarks.mobilenet import write_mobilenet_recipe
from toolchain import stages
from toolchain.agent.measure.facts import read_facts
from toolchain.module.weights import save_weights
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe, read_recipe
from toolchain.run.cache import Cache
from toolchain.run.progress import Progress

_TRANSFORMER = """\
import torch
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 8)

    def forward(self, input):
        return self.head(self.layers(input).mean(dim=1))


def build():
    torch.manual_seed(0)
    return Encoder()
"""


def write_transformer_recipe(folder: Path) -> Path:
    """Write weights, data and recipe of a small transformer (two layers, 64 wide, 32 long), and return the recipe."""
    (folder / "model.py").write_text(_TRANSFORMER, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "model"}
    exec(compile(_TRANSFORMER, "model.py", "exec"), namespace)
    model: nn.Module = namespace["build"]()
    save_weights(model.eval(), folder / "weights.safetensors", {"made_by": "benchmarks/noise.py"})
    rng = np.random.default_rng(0)
    np.savez(folder / "words.npz", input=rng.standard_normal((128, 32, 64)).astype(np.float32))
    recipe = folder / "recipe.toml"
    recipe.write_text(
        '[model]\nbuild = "model.py:build"\nweights = "weights.safetensors"\n\n'
        f'[data]\nname = "npz"\noptions = {{ path = "{folder / "words.npz"}" }}\nmetric = "none"\n'
        "calibration_samples = 128\n",
        encoding="utf-8",
    )
    return recipe


_RECIPES: Mapping[str, Callable[[Path], Recipe]] = {
    "resnet8": lambda _: find_recipe("resnet8"),
    "mobilenet_v2": lambda folder: read_recipe(write_mobilenet_recipe(folder)),
    "transformer": lambda folder: read_recipe(write_transformer_recipe(folder)),
}


@contextlib.contextmanager
def _run_busy_loops(count: int) -> Iterator[None]:
    processes = [multiprocessing.get_context("spawn").Process(target=_loop, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _loop() -> None:
    while True:
        pass


def lower_anew(recipe: Recipe, shared: Cache, folder: Path, progress: Progress) -> dict[str, Any]:
    """Return lowering.json of a lowering that no cache had; what comes before it may be cached."""
    run = stages.Run(recipe=recipe, cache=shared, progress=progress)
    exported = stages.export(run, stages.train(run))
    optimized = stages.optimize(run, exported)
    fresh = stages.Run(recipe=recipe, cache=Cache(folder), progress=progress)
    entry = stages.lower(fresh, optimized, find_target("cpu"), "int8", read_facts("onnxruntime"), exported=exported)
    document: dict[str, Any] = json.loads((entry.folder / "lowering.json").read_text(encoding="utf-8"))
    return document


def compare_layers(recipe: Recipe, folder: Path, *, runs: int, loops: int) -> dict[str, Any]:
    """Return the row of one model."""
    shared = Cache(folder / "shared")
    with Progress(stream=sys.stderr, quiet=True) as progress:
        quiet = lower_anew(recipe, shared, folder / "quiet", progress)
        with _run_busy_loops(loops):
            busy = [lower_anew(recipe, shared, folder / f"busy-{index}", progress) for index in range(runs)]
    decided = [document for document in busy if document["speed"]["status"] == "decided"]
    same = sum(set(document["held_back"]) == set(quiet["held_back"]) for document in decided)
    return {
        "quiet": quiet["speed"]["status"],
        "quiet_layers": quiet["held_back"],
        "quiet_problems": quiet["speed"]["problems"],
        "runs": runs,
        "loops": loops,
        "same": same,
        "undecided": runs - len(decided),
        "other": len(decided) - same,
    }


def count_sharing(intervals: Sequence[tuple[float, float]]) -> int:
    """Return the most intervals that have one point in common: it lies where one of them begins."""
    return max((sum(low <= point <= high for low, high in intervals) for point, _ in intervals), default=0)


def repeat_verdicts(count: int, pause_s: float) -> Iterator[dict[str, Any]]:
    """Yield the row of each verdict, and one over all."""
    with tempfile.TemporaryDirectory() as folder:
        deploy_resnet8(Path(folder) / "cache", Path(folder) / "out")  # builds everything, so that the others are warm
        rows = []
        for index in range(count):
            if index:
                time.sleep(pause_s)
            rows.append(deploy_resnet8(Path(folder) / "cache", Path(folder) / "out"))
            yield rows[-1]
    intervals = [
        (row["speedup_low"], row["speedup_high"])
        for row in rows
        if row["speedup_low"] is not None and row["speedup_high"] is not None
    ]
    yield {
        "verdicts": count,
        "intervals": len(intervals),
        "sharing_a_point": count_sharing(intervals),
        "wall_s_max": max(row["wall_s"] for row in rows),
        "exit_codes": sorted({row["exit_code"] for row in rows}),
    }


def _write(row: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the rows of what was asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.noise")
    modes = parser.add_subparsers(dest="mode", required=True)
    layers = modes.add_parser("layers")
    layers.add_argument("--models", nargs="+", choices=_RECIPES, default=list(_RECIPES))
    layers.add_argument("--runs", type=int, default=10)
    layers.add_argument("--loops", type=int, default=2)
    verdicts = modes.add_parser("verdicts")
    verdicts.add_argument("--count", type=int, default=20)
    verdicts.add_argument("--pause-s", type=float, default=180.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.mode == "verdicts":
        for row in repeat_verdicts(options.count, options.pause_s):
            _write(row)
        return
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            row = compare_layers(_RECIPES[name](Path(folder)), Path(folder), runs=options.runs, loops=options.loops)
            _write({"model": name, **row})


if __name__ == "__main__":
    main()
