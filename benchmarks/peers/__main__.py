"""The models of the tasks by other quantizers, in one run with ours: metric and speed on the same samples and one thread.

    python -m benchmarks.peers --nncf PYTHON [MODEL ...]
    python -m benchmarks.peers --page LINES.jsonl

PYTHON has NNCF and OpenVINO (`pip install nncf openvino onnx` in an environment of its own). One JSON line a model: the
metric of the float file and of each quantized one, its drop with the 99 % interval, and the speed over float on ONNX
Runtime, all sessions interleaved. Ours are the candidates of the target cpu-best on one thread: for each runtime what a
deploy would ship of that one's, and of all of them ("ships"). The second writes such lines as the table of docs/tasks.md:
of several of one model the last.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.peers import nncf_openvino, quantize_static
from benchmarks.peers.elsewhere import quantize_elsewhere
from benchmarks.peers.rows import fill_row
from benchmarks.peers.shipping import Candidate
from benchmarks.peers.table import order_rows, write_table
from benchmarks.tasks import PAGE, replace_table
from toolchain import stages
from toolchain.agent.manifest import TRUTH_LABELS
from toolchain.agent.measure.bootstrap import Drop, estimate_drop
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.gates.metric import choose_drop_max
from toolchain.agent.measure.latency import Measurement, measure_latency
from toolchain.agent.measure.scoring import Scoring, ScoringTally
from toolchain.agent.measure.session import open_session
from toolchain.agent.measure.targets import slice_target
from toolchain.data.feeds import Feeds
from toolchain.errors import ToolchainError
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe
from toolchain.run.cache import Cache, Entry, cache_root
from toolchain.run.progress import Progress

MODELS = ("resnet8", "detector", "segmenter", "keyword", "tabular", "anomaly", "reader", "language")
_BASE = Candidate(precision="float32", runtime="onnxruntime")
_BEGIN, _END = "<!-- table: python -m benchmarks.peers -->\n", "<!-- end of the table of peers -->\n"
# Up to seven sessions share what two or three have in a deploy.
_LATENCY_LIMIT_S = 60.0


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
    base = _lower_ours(run, optimized, exported, _BASE)
    outputs = tuple(spec.name for spec in base.outputs)
    calibration = run.bind_calibration(source, recipe.data.calibration_samples)
    exam = Exam(scoring=run.scoring, feeds=run.bind_evaluation(source), outputs=outputs)

    def lower_static() -> Runs:
        onnx.save(quantize_static.quantize(source, calibration), folder / "static.onnx")
        return open_session("onnxruntime", folder / "static.onnx", 1)

    def lower_nncf() -> Runs:
        quantize_elsewhere(nncf, nncf_openvino.WORKER, source, calibration, folder / "nncf.xml")
        return nncf_openvino.OpenVinoIr(folder / "nncf.xml", threads=1, outputs=outputs)

    candidates = [
        Candidate(precision=precision, runtime=runtime)
        for precision, runtime in stages.list_lowered(run, find_target("cpu-best"))
    ]
    makers = {one.name: partial(_lower_ours, run, optimized, exported, one) for one in candidates if one != _BASE}
    makers |= {"quantize_static": lower_static, "nncf": lower_nncf}
    truth = exam.take(base)
    found: dict[str, dict[str, Any]] = {_BASE.name: _judge(exam, truth, truth)}
    sessions: dict[str, Runs] = {_BASE.name: base}
    for name, make in makers.items():
        found[name], session = _examine(exam, make, truth)
        if session is not None:
            sessions[name] = session
    measurement = measure_latency(
        {name: partial(session.run, exam.feeds[0]) for name, session in sessions.items()}, limit_s=_LATENCY_LIMIT_S
    )
    for name in sessions:
        found[name] |= _compare_speed(measurement, name)
    row: dict[str, Any] = {
        "model": recipe.name,
        "metric": run.scoring.name,
        "unit": run.scoring.scale.unit,
        "samples": len(exam.feeds),
        "float": truth.compute(),
    }
    drop_max = choose_drop_max(run.scoring.scale, recipe.gates.metric_drop_max, row["float"], TRUTH_LABELS)
    return row | fill_row(candidates, found, measurement, drop_max=drop_max)


def _lower_ours(run: stages.Run, optimized: Entry, exported: Entry, candidate: Candidate) -> Runs:
    target = find_target("cpu-best").narrow(candidate.precision, candidate.runtime)
    facts = read_facts(candidate.runtime)
    lowered = stages.lower(run, optimized, target, candidate.precision, facts, exported=exported)
    told = json.loads((lowered.folder / "lowering.json").read_text(encoding="utf-8"))
    if candidate.precision == "int8" and not told["layers"]:
        raise ValueError("no layer is in int8, which the gate on precision refuses")
    return open_session(candidate.runtime, lowered.folder / "model.onnx", 1)


def _compare_speed(measurement: Measurement, name: str) -> dict[str, Any]:
    if name == _BASE.name:
        return {"speedup": 1.0, "speedup_99": [1.0, 1.0]}
    ratio = measurement.compare(_BASE.name, name)
    return {"speedup": ratio.ratio, "speedup_99": [ratio.low, ratio.high]}


def _examine(exam: Exam, lower: Callable[[], Runs], truth: ScoringTally) -> tuple[dict[str, Any], Runs | None]:
    try:
        session = lower()
        return _judge(exam, exam.take(session), truth), session
    except subprocess.CalledProcessError as error:
        return {"error": (error.stderr.strip().splitlines() or ["no message"])[-1][:200]}, None
    except ToolchainError as error:
        return {"error": str(error).replace("\n", " ")[:200]}, None
    except Exception as error:  # noqa: BLE001 - whatever another tool raises is its result
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"}, None


def _judge(exam: Exam, tally: ScoringTally, truth: ScoringTally) -> dict[str, Any]:
    bounds: Drop = estimate_drop(truth.metric, tally.metric, exam.scoring.scale)
    drop = exam.scoring.scale.measure_drop(truth.compute(), tally.compute())
    return {"metric": tally.compute(), "drop": drop, "drop_99": [bounds.lower, bounds.upper]}


def main() -> None:
    """Print a row for each model, or write the page."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--nncf", type=Path, metavar="PYTHON", help="of an environment with NNCF and OpenVINO")
    parser.add_argument("--page", type=Path, metavar="LINES.jsonl", help="write these rows into docs/tasks.md")
    options = parser.parse_args()
    if options.page is not None:
        rows = [json.loads(line) for line in options.page.read_text(encoding="utf-8").splitlines()]
        page = replace_table(
            PAGE.read_text(encoding="utf-8"), write_table(order_rows(rows, MODELS)), begin=_BEGIN, end=_END
        )
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
