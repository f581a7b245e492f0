"""The models of the tasks by other quantizers, in one run with ours: metric and speed on the same samples and one thread.

    python -m benchmarks.peers --nncf PYTHON [MODEL ...]
    python -m benchmarks.peers --page LINES.jsonl

PYTHON has NNCF and OpenVINO (`pip install nncf openvino onnx` in an environment of its own). One JSON line a model: the
metric of the float file and of each quantized one, its drop with the 99 % interval, and the speed over float, interleaved.
Ours is what a deploy would ship: int8, or float where int8 is not faster or loses more than the recipe's gate. The second
writes such lines as the table of docs/tasks.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.peers import nncf_openvino, quantize_static
from benchmarks.peers.elsewhere import quantize_elsewhere
from benchmarks.tasks import PAGE, replace_table
from toolchain import stages
from toolchain.agent.measure.bootstrap import Drop, estimate_drop
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.quantities import write_difference, write_value
from toolchain.agent.measure.scoring import Scoring, ScoringTally
from toolchain.agent.measure.session import open_session
from toolchain.agent.measure.targets import slice_target
from toolchain.data.feeds import Feeds
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress

MODELS = ("resnet8", "detector", "segmenter", "keyword", "tabular", "anomaly", "reader", "language")
_TOOLS = {"ours": "ours", "quantize_static": "quantize_static", "nncf": "NNCF, OpenVINO"}
_BEGIN, _END = "<!-- table: python -m benchmarks.peers -->\n", "<!-- end of the table of peers -->\n"


class Runs(Protocol):
    """What runs a model."""

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
        """Return one array per output."""


@dataclass(frozen=True, kw_only=True)
class Exam:
    """How the files of one model are examined."""

    scoring: Scoring
    feeds: Feeds
    outputs: tuple[str, ...]

    def take(self, model: Runs) -> ScoringTally:
        """Return what a model answers to all samples."""
        tally, samples = self.scoring.start(), self.feeds.samples
        wanted = self.scoring.list_targets(list(samples.targets))
        for index, feed in enumerate(self.feeds):
            found = model.run(feed)
            truth = {name: slice_target(samples.targets[name], index, index + 1) for name in wanted}
            tally.add({name: found[name] for name in self.outputs}, truth, samples.batch(index, index + 1))
        return tally


def compare_quantizers(recipe: Recipe, nncf: Path, folder: Path, progress: Progress) -> dict[str, Any]:
    """Return the row of one model; a tool that fails has its message in place of its numbers."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    exported = stages.export(run, stages.train(run))
    optimized = stages.optimize(run, exported)
    source = exported.folder / "model.onnx"
    if run.scoring is None:
        raise SystemExit(f"{recipe.name} has no metric")
    base = open_session("onnxruntime", optimized.folder / "model.onnx", 1)
    calibration = run.bind_calibration(source, recipe.data.calibration_samples)
    outputs = tuple(spec.name for spec in base.outputs)
    exam = Exam(scoring=run.scoring, feeds=run.bind_evaluation(source), outputs=outputs)

    def lower_ours() -> Runs:
        facts = read_facts("onnxruntime")
        lowered = stages.lower(run, optimized, find_target("cpu"), "int8", facts, exported=exported)
        return open_session("onnxruntime", lowered.folder / "model.onnx", 1)

    def lower_static() -> Runs:
        onnx.save(quantize_static.quantize(source, calibration), folder / "static.onnx")
        return open_session("onnxruntime", folder / "static.onnx", 1)

    def lower_nncf() -> Runs:
        quantize_elsewhere(nncf, nncf_openvino.WORKER, source, calibration, folder / "nncf.xml")
        return nncf_openvino.OpenVinoIr(folder / "nncf.xml", threads=1, outputs=outputs)

    truth = exam.take(base)
    value = truth.compute()
    row: dict[str, Any] = {
        "model": recipe.name,
        "metric": run.scoring.name,
        "unit": run.scoring.scale.unit,
        "samples": len(exam.feeds),
        "float": value,
    }
    sessions: dict[str, Runs] = {"float": base}
    for tool, lower in {"ours": lower_ours, "quantize_static": lower_static, "nncf": lower_nncf}.items():
        row[tool], session = _examine(exam, lower, truth, value)
        if session is not None:
            sessions[tool] = session
    feed = exam.feeds[0]
    measured = measure_latency({name: _bind_run(session, feed) for name, session in sessions.items()})
    for tool in sessions.keys() - {"float"}:
        ratio = measured.compare("float", tool)
        row[tool] |= {"speedup": ratio.ratio, "speedup_99": [ratio.low, ratio.high]}
    drop_max = recipe.gates.metric_drop_max
    if row["ours"]["speedup_99"][0] < 1 or (drop_max is not None and row["ours"]["drop"] > drop_max):
        row["ours"] |= {
            "ships": "float32",
            "int8": dict(row["ours"]),
            "metric": value,
            "drop": 0.0,
            "drop_99": [0.0, 0.0],
        }
        row["ours"] |= {"speedup": 1.0, "speedup_99": [1.0, 1.0]}
    return row


def _examine(
    exam: Exam, lower: Callable[[], Runs], truth: ScoringTally, value: float
) -> tuple[dict[str, Any], Runs | None]:
    try:
        session = lower()
        tally = exam.take(session)
        found = tally.compute()
    except subprocess.CalledProcessError as error:
        return {"error": (error.stderr.strip().splitlines() or ["no message"])[-1][:200]}, None
    except Exception as error:  # noqa: BLE001 - whatever another tool raises is its result
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"}, None
    bounds: Drop = estimate_drop(truth.metric, tally.metric, exam.scoring.scale)
    drop = exam.scoring.scale.measure_drop(value, found)
    return {"ships": "int8", "metric": found, "drop": drop, "drop_99": [bounds.lower, bounds.upper]}, session


def _bind_run(session: Runs, feed: Any) -> Callable[[], object]:
    return lambda: session.run(feed)


def write_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of docs/tasks.md."""
    head = ("model", "metric", "float", *(f"{tool}: {what}" for tool in _TOOLS.values() for what in ("drop", "speed")))
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *map(_write_row, rows)]) + "\n"


def _write_row(row: Mapping[str, Any]) -> str:
    cells: list[str] = [f"`{row['model']}`", f"`{row['metric']}`", write_value(row["float"], row["unit"])]
    for tool in _TOOLS:
        cells += _write_cells(row[tool], row["unit"])
    return "| " + " | ".join(cells) + " |"


def _write_cells(found: Mapping[str, Any], unit: Any) -> Sequence[str]:
    if "error" in found:
        return ("does not run", "–")
    low, high = found["speedup_99"]
    drop = write_difference(found["drop"], unit) + (" (float)" if found["ships"] != "int8" else "")
    return (drop, f"{found['speedup']:.2f}× ({low:.2f} to {high:.2f})")


def main() -> None:
    """Print a row for each model, or write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--nncf", type=Path, metavar="PYTHON", help="of an environment with NNCF and OpenVINO")
    parser.add_argument("--page", type=Path, metavar="LINES.jsonl", help="write these rows into docs/tasks.md")
    options = parser.parse_args()
    if options.page is not None:
        rows = [json.loads(line) for line in options.page.read_text(encoding="utf-8").splitlines()]
        page = replace_table(PAGE.read_text(encoding="utf-8"), write_table(rows), begin=_BEGIN, end=_END)
        PAGE.write_text(page, encoding="utf-8")
        return
    if options.nncf is None:
        parser.error("--nncf PYTHON is missing")
    with tempfile.TemporaryDirectory() as folder, Progress(stream=sys.stderr) as progress:
        for name in options.models or MODELS:
            own = Path(folder) / name
            own.mkdir()
            row = compare_quantizers(find_recipe(name), options.nncf, own, progress)
            sys.stdout.write(json.dumps(row, default=_to_number) + "\n")
            sys.stdout.flush()


def _to_number(value: Any) -> float:
    if isinstance(value, np.generic):
        return float(value)
    raise TypeError(type(value))


if __name__ == "__main__":
    main()
