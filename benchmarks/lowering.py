"""Our int8 lowering against ONNX Runtime's quantize_static (MinMax, per channel), side by side in one run.

    python -m benchmarks.lowering [--keep FOLDER] [--before FOLDER] [MODEL ...]

For each model, one JSON line: p50 latency of float, theirs and ours (one thread, batch 1, interleaved), the speedups
over float, ours over theirs with its 99 % interval, top-1 of all three on the evaluation set, and the SQNR against float.
theirs takes the better of its two activation types on this CPU, uint8. --keep writes ours to FOLDER/MODEL.onnx, and --before
measures such files of an earlier commit in the same run ("before"): ours over before is how many times as fast ours is as
it was. A model without weights says how to get them; the others still run, and the exit code is 3. mobilenet_v2 has no public
weights here: its batch-norm statistics are set on real pictures (benchmarks/mobilenet.py), so its SQNR means something and its top-1 does not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.mobilenet import write_mobilenet_recipe
from benchmarks.peers import quantize_static
from toolchain import stages
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.parity import Parity
from toolchain.agent.measure.session import Session, open_session
from toolchain.data.feeds import Feeds
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe, read_recipe
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress

_MODELS = ("resnet8", "resnet18", "mobilenet_v2")
_EVALUATION_LIMIT = 10_000


@dataclass(frozen=True)
class Score:
    """What one payload returns for the evaluation set."""

    top1: float | None
    sqnr_db: float


def _score(session: Session, reference: Session, feeds: Feeds, labels: Any) -> Score:
    parity, metric = Parity(), find_metric("top1").start()
    for index, feed in enumerate(feeds):
        outputs = session.run(feed)
        parity.add(reference.run(feed), outputs)
        if labels is not None:
            metric.add(outputs, {"labels": labels[index : index + 1]})
    sqnr_db = min(row.sqnr_db for row in parity.summarize())
    return Score(top1=metric.compute() if labels is not None else None, sqnr_db=sqnr_db)


def _bind_run(session: Session, feed: Any) -> Callable[[], object]:
    return lambda: session.run(feed)


def compare_lowerings(
    recipe: Recipe, folder: Path, progress: Progress, *, before: Path | None = None
) -> dict[str, Any]:
    """Return the row of one model, with ours in the folder; before: ours of an earlier commit."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    target = find_target("cpu")
    exported = stages.export(run, stages.train(run))
    optimized = stages.optimize(run, exported)
    lowered = stages.lower(run, optimized, target, "int8", read_facts("onnxruntime"), exported=exported)
    ours = folder / "ours.onnx"
    shutil.copy(lowered.folder / "model.onnx", ours)
    calibration = run.bind_calibration(exported.folder / "model.onnx", recipe.data.calibration_samples)
    theirs = folder / "theirs.onnx"
    onnx.save(quantize_static.quantize(exported.folder / "model.onnx", calibration), theirs)
    paths = {"float": optimized.folder / "model.onnx", "theirs": theirs, "ours": ours}
    if before is not None:
        paths["before"] = before
    sessions = {name: open_session("onnxruntime", path, 1) for name, path in paths.items()}
    feeds = run.bind_evaluation(paths["float"])[:_EVALUATION_LIMIT]
    labels = run.data.evaluation.targets.get("labels")
    scores = {name: _score(session, sessions["float"], feeds, labels) for name, session in sessions.items()}
    measured = measure_latency({name: _bind_run(session, feeds[0]) for name, session in sessions.items()})
    over_theirs = measured.compare("theirs", "ours")
    row = {
        "model": recipe.name,
        "evaluation_samples": len(feeds),
        "float_p50_ms": measured.summarize("float").p50_ms,
        "theirs_p50_ms": measured.summarize("theirs").p50_ms,
        "ours_p50_ms": measured.summarize("ours").p50_ms,
        "theirs_over_float": measured.compare("float", "theirs").ratio,
        "ours_over_float": measured.compare("float", "ours").ratio,
        "ours_over_theirs": over_theirs.ratio,
        "ours_over_theirs_99": [over_theirs.low, over_theirs.high],
        **{f"{name}_top1": score.top1 for name, score in scores.items()},
        "theirs_sqnr_db": scores["theirs"].sqnr_db,
        "ours_sqnr_db": scores["ours"].sqnr_db,
        "sizes_bytes": {name: path.stat().st_size for name, path in paths.items()},
    }
    if before is not None:
        over_before = measured.compare("before", "ours")
        row |= {
            "before_p50_ms": measured.summarize("before").p50_ms,
            "before_sqnr_db": scores["before"].sqnr_db,
            "ours_over_before": over_before.ratio,
            "ours_over_before_99": [over_before.low, over_before.high],
        }
    return row


def main() -> None:
    """Print one row per model."""
    parser = argparse.ArgumentParser("python -m benchmarks.lowering")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(_MODELS))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write ours here")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="with what --keep wrote for an earlier commit")
    options = parser.parse_args()
    missing = False
    with tempfile.TemporaryDirectory() as folder, Progress(stream=sys.stderr) as progress:
        for name in options.models or _MODELS:
            own = Path(folder) / name
            own.mkdir()
            recipe = read_recipe(write_mobilenet_recipe(own)) if name == "mobilenet_v2" else find_recipe(name)
            before = None if options.before is None else options.before / f"{name}.onnx"
            try:
                row = compare_lowerings(recipe, own, progress, before=before)
            except ToolchainError as error:
                sys.stderr.write(f"{name}: {error}\n")
                missing = True
                continue
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(own / "ours.onnx", options.keep / f"{name}.onnx")
            rounded = {
                key: float(np.round(value, 4)) if isinstance(value, float) else value for key, value in row.items()
            }
            sys.stdout.write(json.dumps(rounded) + "\n")
            sys.stdout.flush()
    sys.exit(ExitCode.MISSING if missing else 0)


if __name__ == "__main__":
    main()
