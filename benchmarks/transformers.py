"""int8 of transformers on ONNX Runtime, technique by technique, beside its quantize_dynamic: accuracy and speed.

    python -m benchmarks.transformers [--folder FOLDER] [MODEL ...]

One JSON line per model and level: the least SQNR over the outputs in dB, on samples that calibration did not see, and how
many times as fast as float and as quantize_dynamic, each with its 99 % interval (one thread; all levels of a model in one
interleaved run). Levels: quantize_dynamic (per channel), products (all of ours dynamic, nothing searched), smoothed
(outlier channels migrated before), lowered (what `toolchain lower` makes: static or dynamic, layers kept in float).
--folder keeps what was downloaded (200 MB).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization

from benchmarks.wild_inputs import Feed
from benchmarks.wild_models import fetch, list_feeds
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.parity import Parity
from toolchain.agent.measure.session import Session
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.int8 import lower_int8
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.smoothing import smooth_outliers
from toolchain.optimize import optimize
from toolchain.project.recipe import QuantizeSection

_MODELS = ("all-MiniLM-L6-v2", "vital-paraphrase-MiniLM-L3-v2", "vit_s_focus")
_CALIBRATION, _EVALUATED = 128, 32
_GATE_DB = 20.0


def _quantize_theirs(model: onnx.ModelProto, *, saturates: bool) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantization.quantize_dynamic(
            source, target, per_channel=True, reduce_range=saturates, weight_type=quantization.QuantType.QInt8
        )
        return onnx.load(target)


def _make_levels(
    model: onnx.ModelProto, calibration: Sequence[Feed], policy: Int8Policy
) -> tuple[dict[str, onnx.ModelProto], list[int]]:
    """Return the model of each level, and how many layers could be int8 and are in the last."""
    optimized = optimize(model, calibration[:4]).model
    smoothed = smooth_outliers(optimized, calibration, policy.scheme, kernels=policy.kernels, enough_db=math.inf).model
    lowering = lower_int8(
        optimized,
        calibration,
        options=QuantizeSection(),
        policy=policy,
        sqnr_db_min=_GATE_DB,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )
    levels = {
        "quantize_dynamic": _quantize_theirs(model, saturates=policy.scheme.saturates),
        "products": write_dynamic(optimized, QdqPlan(tuple(find_dynamic(optimized).values())), policy.scheme),
        "smoothed": write_dynamic(smoothed, QdqPlan(tuple(find_dynamic(smoothed).values())), policy.scheme),
        "lowered": lowering.model,
    }
    layers = len(policy.plan(optimized, frozenset()).weighted_layers)
    return levels, [layers, len(lowering.plan.weighted_layers)]


def _measure_sqnr_db(sessions: Mapping[str, Session], evaluation: Sequence[Feed]) -> dict[str, float]:
    parities = {name: Parity() for name in sessions}
    for feed in evaluation:
        reference = sessions["float"].run(feed)
        for name, session in sessions.items():
            parities[name].add(reference, session.run(feed))
    return {name: min(row.sqnr_db for row in parity.summarize()) for name, parity in parities.items()}


def judge_model(path: Path) -> list[dict[str, Any]]:
    """Return a row for each level of a model."""
    calibration = list_feeds(path, 0, _CALIBRATION)
    evaluation = list_feeds(path, _CALIBRATION, _CALIBRATION + _EVALUATED)
    model = read_onnx(path, trusted=True)
    facts = read_facts("onnxruntime")
    policy = int8_policy(choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto"))
    levels, layers = _make_levels(model, calibration, policy)
    sessions = {name: open_as_board(made, threads=1) for name, made in {"float": model, **levels}.items()}
    sqnr_db = _measure_sqnr_db(sessions, evaluation)
    runs = {name: partial(session.run, evaluation[0]) for name, session in sessions.items()}
    measurement = measure_latency(runs, samples=300, limit_s=60.0)
    rows: list[dict[str, Any]] = []
    for name, made in levels.items():
        row = {"model": path.stem, "level": name, "sqnr_db": round(sqnr_db[name], 1), "bytes": made.ByteSize()}
        for other in ("float", "quantize_dynamic"):
            ratio = measurement.compare(other, name)
            row[f"over_{other}"] = [round(value or 0.0, 3) for value in (ratio.ratio, ratio.low, ratio.high)]
        rows.append(row)
    rows[-1]["layers"] = layers
    return rows


def main() -> None:
    """Print a row per model and level."""
    parser = argparse.ArgumentParser(description="Measure int8 of transformers, technique by technique.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(_MODELS))
    parser.add_argument("--folder", type=Path, help="where models are kept")
    options = parser.parse_args()
    if unknown := set(options.models) - set(_MODELS):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.models or _MODELS:
            for row in judge_model(fetch(name, options.folder or Path(temporary))):
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
