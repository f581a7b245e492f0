"""Whether products take static or dynamic scales: by what the outputs keep, and where that is alike, by the time of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.measure.conditions import read_conditions
from toolchain.agent.measure.episodes import EPISODES
from toolchain.agent.measure.latency import FASTER, Measurement, decide, decides_every_ratio, measure_latency
from toolchain.agent.measure.machine_speed import SPEED_MEMORY
from toolchain.agent.measure.quantiles import Ratio
from toolchain.agent.measure.validity import find_contention
from toolchain.graph.session import open_as_board
from toolchain.lower.dynamic.plan import plan_dynamic, split_plan
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QuantizedNode
from toolchain.lower.ranges import TensorRange
from toolchain.lower.trial import Bench
from toolchain.run.cache import cache_root

# Where neither passes, the better one needs fewer float layers; one layer of a transformer of 36 is worth about this much.
_ALIKE_DB = 1.0

# Two variants, and either is right where they are alike: within 3 %, chosen to end the measurement; no verdict rests on it.
_ALIKE = 1.03
_SAMPLES = 100
_LIMIT_S = 4.0
_ROOT = Path("/")


@dataclass(frozen=True)
class ScaleChoice:
    """The policy that was taken, and why."""

    policy: Int8Policy
    bench: Bench
    chosen: str
    """The scales of products: "static" or "dynamic"."""
    reason: str
    sqnr_db: Mapping[str, float] = field(default_factory=dict)
    """What the worst output surely keeps with everything in int8, by the scale of products."""
    speedup: Ratio | None = None
    """How many times as fast dynamic scales are; None where that was not asked."""

    def describe(self) -> dict[str, Any]:
        """Return what lowering.json says of it."""
        ratio = self.speedup
        return {
            "chosen": self.chosen,
            "reason": self.reason,
            "sqnr_db": dict(self.sqnr_db),
            "speedup": None if ratio is None else [ratio.ratio, ratio.low, ratio.high],
        }


def choose_scales(
    policy: Int8Policy,
    bench: Bench,
    ranges: Mapping[str, TensorRange],
    keep_float: frozenset[str],
    *,
    sqnr_db_min: float,
    threads: int | None,
) -> ScaleChoice:
    """Return the policy, and the bench that builds by it, for the products of a model.

    bench: builds with static scales. keep_float: what is in float either way. threads: to measure with; None where times
    of this machine mean nothing.
    """
    static = ScaleChoice(policy=policy, bench=bench, chosen="static", reason="")
    dynamic_policy = replace(policy, plan=partial(plan_dynamic, policy.plan))
    products = split_plan(dynamic_policy.plan(bench.model, keep_float))[1].nodes
    obstacle = _find_obstacle(policy, products, bench)
    if obstacle is not None:
        return replace(static, reason=obstacle)
    dynamic_bench = replace(bench, build=partial(dynamic_policy.write, bench.model, ranges))
    sqnr_db = {
        "static": bench.measure_sqnr_db(keep_float),
        "dynamic": dynamic_bench.measure_sqnr_db(keep_float),
    }
    static = replace(static, sqnr_db=sqnr_db)
    dynamic = replace(static, policy=dynamic_policy, bench=dynamic_bench, chosen="dynamic")
    passing = [choice for choice in (static, dynamic) if sqnr_db[choice.chosen] >= sqnr_db_min]
    if len(passing) == 1:
        return replace(passing[0], reason=f"it alone keeps {sqnr_db_min:g} dB with all layers in int8")
    if not passing and abs(sqnr_db["static"] - sqnr_db["dynamic"]) >= _ALIKE_DB:
        better = max((static, dynamic), key=lambda choice: sqnr_db[choice.chosen])
        return replace(better, reason=f"neither keeps {sqnr_db_min:g} dB with all layers in int8, and it keeps more")
    ratio = None
    if threads is not None:
        ratio = _compare_times(bench.build(keep_float), dynamic_bench.build(keep_float), bench, threads=threads)
    if ratio is None:
        # A MatMul between static pairs is computed in float where ONNX Runtime makes a Gemm of it and the Add behind it.
        likely = dynamic if any(node.op_type == "MatMul" for node in products) else static
        return replace(likely, reason="both are alike in accuracy, and times of this machine say nothing")
    if decide(ratio) == FASTER:
        return replace(dynamic, reason="both are alike in accuracy, and it is faster", speedup=ratio)
    return replace(static, reason="both are alike in accuracy, and dynamic scales are not surely faster", speedup=ratio)


def _find_obstacle(policy: Int8Policy, products: Sequence[QuantizedNode], bench: Bench) -> str | None:
    """Return why dynamic scales are not tried on the products that can have them; None to try them."""
    if not policy.has_dynamic:
        return "the runtime has no dynamic products"
    if bench.trained is not None:
        return "the model was trained for its scales"
    if not products:
        return "no product can be dynamic"
    layers = len(policy.plan(bench.model, frozenset()).weighted_layers)
    if 2 * len(products) <= layers and all(node.op_type == "Gemm" for node in products):
        return "most layers are convolutions, and a Gemm behind them reads integers of a static scale"
    return None


def is_told(measurement: Measurement) -> bool:
    """Return whether one variant is surely faster, or both are surely alike."""
    ratio = measurement.compare("static", "dynamic")
    is_alike = ratio.low is not None and ratio.high is not None and 1 / _ALIKE < ratio.low <= ratio.high < _ALIKE
    return is_alike or decides_every_ratio(measurement)


def _compare_times(static: onnx.ModelProto, dynamic: onnx.ModelProto, bench: Bench, *, threads: int) -> Ratio | None:
    """Return how many times as fast the dynamic model is, both measured in turns; None where others ran meanwhile."""
    if bench.kernels is None:
        message = "models are timed on the target's own kernels alone"
        raise ValueError(message)
    feed = bench.feeds[0]
    sessions = {
        name: open_as_board(model, runtime=bench.kernels, threads=threads, is_timed=True)
        for name, model in (("static", static), ("dynamic", dynamic))
    }
    runs = {name: partial(session.run, feed) for name, session in sessions.items()}
    memory = cache_root() / SPEED_MEMORY
    before = read_conditions(_ROOT)
    measurement = measure_latency(
        runs, samples=_SAMPLES, samples_to_look=EPISODES, limit_s=_LIMIT_S, memory=memory, is_decided=is_told
    )
    if find_contention(before, read_conditions(_ROOT)):
        return None
    return measurement.compare("static", "dynamic")
