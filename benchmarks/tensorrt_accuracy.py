"""What the graphs for TensorRT return, against PyTorch: drop of top-1, cosine and SQNR of the logits, run on the CPU.

    python -m benchmarks.tensorrt_accuracy [RECIPE ...]

For each recipe (resnet8, and models/resnet18/half_stem.toml, which asks for `make train` first) and each precision of the
target jetson, one JSON line over the whole evaluation set. The graph is the one that a board gets: int8 has every layer
that the lowering left there, with float16 around it, and every float16 result is rounded (`open_emulated`); a GPU rounds
in another order.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import onnx

from toolchain import stages
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.parity import Parity
from toolchain.bundle.golden import read_golden_outputs
from toolchain.lower.trial import open_emulated
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe
from toolchain.run.cache import Cache, Entry, cache_root
from toolchain.run.progress import Progress

_RECIPES = ("resnet8", "models/resnet18/half_stem.toml")
_TARGET = "jetson"
_THREADS = 2
_BATCH = 64


def measure_recipe(recipe: Recipe, progress: Progress) -> None:
    """Print the row of every precision."""
    target = find_target(_TARGET)
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    weights = stages.train(run)
    exported = stages.export(run, weights)
    golden = stages.golden(run, exported, weights)
    optimized = stages.optimize(run, exported)
    for precision in target.precision:
        lowered = stages.lower(run, optimized, target, precision, stages.read_stand_in(target), exported=exported)
        print(json.dumps(measure_payload(run, golden, lowered, precision)), flush=True)


def measure_payload(run: stages.Run, golden: Entry, lowered: Entry, precision: str) -> dict[str, Any]:
    """Return the row of one lowered model."""
    expected = read_golden_outputs(golden.folder)
    session = open_emulated(onnx.load(lowered.folder / "model.onnx"), threads=_THREADS)
    parity, metric = Parity(), find_metric("top1").start()
    samples, labels, count = run.data.evaluation, run.data.evaluation.targets.get("labels"), run.count_evaluation()
    if labels is None or expected.metric is None:
        raise SystemExit(f"{run.recipe.name} has no labels")
    (name,) = session.inputs
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        (batch,) = samples.batch(start, stop).values()
        found = session.run({name: batch})
        parity.add({key: array[start:stop] for key, array in expected.outputs.items()}, found)
        metric.add(found, {"labels": labels[start:stop]})
    (agreement,) = parity.summarize()
    document = json.loads((lowered.folder / "lowering.json").read_text(encoding="utf-8"))
    return {
        "model": run.recipe.name,
        "precision": precision,
        "pictures": count,
        "pytorch_top1": expected.metric,
        "top1": metric.compute(),
        "drop_points": round(100 * (expected.metric - metric.compute()), 3),
        "cosine": round(agreement.cosine, 7),
        "sqnr_db": round(agreement.sqnr_db, 2),
        "kept_in_float": len(document["kept_in_float"]),
    }


def main() -> None:
    """Measure the named recipes, or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=_RECIPES)
    for name in parser.parse_args().recipes:
        with Progress(stream=sys.stderr) as progress:
            measure_recipe(find_recipe(name), progress)


if __name__ == "__main__":
    main()
