"""Float ONNX in, int8 ONNX by one runtime's policy out: calibrate, keep the outputs right, keep the model fast.

The result is never trusted to be good because it is int8: every output must reach its SQNR on real data,
and every layer must be worth it. Layers that spoil an output, and layers that int8 makes slower on this
machine, stay in float and are listed with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.temporary import TemporaryFolder
from toolchain.errors import usage
from toolchain.graph.learned_ranges import drop_ranges, read_ranges
from toolchain.lower.accuracy import Accuracy, choose_kept
from toolchain.lower.blocks import BlockChoice, choose_blocks
from toolchain.lower.calibrate import calibrate_methods
from toolchain.lower.calibration.outliers import Outlier, find_outliers
from toolchain.lower.dynamic.choice import ScaleChoice, choose_scales
from toolchain.lower.float_graph import bind_comparison
from toolchain.lower.float_reasons import explain_float_layers, explain_shared, list_operators
from toolchain.lower.learned import match_weight_bits
from toolchain.lower.pair_opset import check_pairs
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.request import StartSteps
from toolchain.lower.smoothing import Smoothing, smooth_outliers
from toolchain.lower.speed import LayerTimes, SpeedSearch, find_slow_layers, time_both
from toolchain.lower.stored_weights import StoredWeights
from toolchain.lower.tables import Tables, choose_tables
from toolchain.lower.task_trial import Task
from toolchain.lower.techniques.context import improve_in_context
from toolchain.lower.techniques.improve import Technique
from toolchain.lower.trial import AMPLE_DB, Arrays, Bench, compare_benches
from toolchain.project.recipe import QuantizeSection
from toolchain.run.heap import trim_heap


@dataclass(frozen=True)
class Int8Lowering:
    """The int8 model and everything that was decided on the way to it."""

    model: onnx.ModelProto
    plan: QdqPlan
    policy: Int8Policy
    ranges: Mapping[str, TensorRange]
    methods_db: Mapping[str, float]
    """SQNR in dB of the model all in int8 but for what is infinite, by calibration method; the highest was taken.

    On the samples that told so.
    """
    never_int8: Mapping[str, str]
    """Layers that multiply and cannot be int8: name to reason."""
    kept_in_float: Mapping[str, str]
    """Layers that could be int8 and stay in float: name to reason."""
    sqnr_db: Mapping[str, float]
    """Of every output against the float model, or against what was trained for int8, on the samples of the search."""
    speed: SpeedSearch
    scales: ScaleChoice
    smoothing: Smoothing
    tables: Tables
    blocks: BlockChoice
    accuracy: Accuracy
    techniques: tuple[Technique, ...] = ()
    """What was tried for better numbers, and what it gained."""
    outliers: tuple[Outlier, ...] = ()


def lower_int8(
    model: onnx.ModelProto,
    feeds: Sequence[Arrays],
    *,
    options: QuantizeSection,
    policy: Int8Policy,
    sqnr_db_min: float,
    threads: int,
    start_steps: StartSteps,
    task: Task | None = None,
) -> Int8Lowering:
    """Return the int8 lowering of an optimized float model.

    feeds: the calibration set, one run each. sqnr_db_min: what every output must keep, in dB. task: what
    decides in its place for outputs that a metric reads.
    Raises ToolchainError: exit 2 for a layer in keep_float that the model lacks, 12 for an opset that is too new, 18 where
    the model returns NaN, 23 where an activation is NaN.
    """
    check_pairs(model)
    with TemporaryFolder() as folder:
        return _lower(model, feeds, folder, options, policy, sqnr_db_min, threads, start_steps, task)


def _lower(
    model: onnx.ModelProto,
    feeds: Sequence[Arrays],
    folder: Path,
    options: QuantizeSection,
    policy: Int8Policy,
    sqnr_db_min: float,
    threads: int,
    start_steps: StartSteps,
    task: Task | None,
) -> Int8Lowering:
    """Return the lowering; trials are written into the folder."""
    learned = read_ranges(model)
    model, policy = drop_ranges(model), replace(policy, scheme=match_weight_bits(policy.scheme, learned))
    smoothing = Smoothing(model=model, factors={})
    if policy.has_dynamic and learned is None:
        smoothing = smooth_outliers(
            model, feeds, policy.scheme, kernels=policy.kernels, enough_db=sqnr_db_min + AMPLE_DB
        )
        trim_heap()
    model = smoothing.model
    plan = policy.plan(model, frozenset())
    policy = policy.limit(plan.tensors)
    requested = _find_requested(model, options.keep_float)
    tables = Tables()
    if policy.has_tables and learned is None:
        tables = choose_tables(model, feeds, sqnr_db_min=sqnr_db_min, keep_float=requested)
    policy = tables.join(policy)
    weights = StoredWeights(tables.write(model), folder)
    benches, others, observations, infinite = calibrate_methods(
        model, plan, feeds, options, policy, start_steps, learned, weights
    )
    trim_heap()
    racing = {method: bench for method, (_, bench) in benches.items()}
    # One look tells enough to hold static scales against dynamic ones, of which methods know nothing.
    methods_db = compare_benches(racing, frozenset(infinite), looks_max=1)
    method = max(methods_db, key=methods_db.__getitem__)
    ranges, bench = benches[method]
    reasons = infinite | dict.fromkeys(requested, "the recipe keeps it in float")
    known, speed = LayerTimes(), SpeedSearch()
    is_timed = options.choose_by_measurement and (policy.kernels or policy.timed_on) is not None
    scales = choose_scales(
        policy,
        bench,
        ranges,
        frozenset(reasons),
        sqnr_db_min=sqnr_db_min,
        threads=threads if is_timed else None,
    )
    policy, bench, plan = scales.policy, scales.bench, scales.policy.plan(model, frozenset())
    if scales.chosen == "static":
        methods_db = compare_benches(racing, frozenset(infinite))
        method = max(methods_db, key=methods_db.__getitem__)
        _, bench = benches[method]
    trim_heap()
    improved = improve_in_context(
        bench,
        others,
        plan,
        policy,
        {name: of_method for name, (of_method, _) in benches.items()},
        method,
        feeds,
        frozenset(reasons),
        sqnr_db_min=sqnr_db_min if task is None else None,
        enough_db=sqnr_db_min + AMPLE_DB,
        start_steps=start_steps,
    )
    trim_heap()
    bench, others, ranges = improved.bench, improved.others, improved.ranges
    timed = _finish_trials(bench, policy, folder)
    if is_timed:
        known = time_both(timed, plan, frozenset(reasons), threads=threads)
    kept = choose_kept(
        bench,
        others,
        plan,
        frozenset(reasons),
        known.times,
        sqnr_db_min,
        start_steps,
        task,
        improved.alone_db,
        improved.head,
    )
    reasons |= kept.reasons
    if is_timed:
        speed = find_slow_layers(
            timed,
            plan,
            frozenset(reasons),
            known,
            judge=kept.judge,
            threads=threads,
            start_steps=start_steps,
        )
        reasons |= speed.keep_float
    keep = frozenset(reasons)
    final = policy.plan(model, keep)
    reasons |= explain_shared(plan, keep)
    built = bench.build(keep)
    blocks = choose_blocks(
        built,
        keep - {*requested, *infinite},
        [bench, *others],
        sqnr_db_min=sqnr_db_min,
        compare_speed=bind_comparison(feeds[0], policy.kernels, threads=threads)
        if policy.kernels and is_timed and policy.has_blocks and kept.accuracy.decides == "sqnr"
        else None,
    )
    made = policy.finish(blocks.model)
    finished = bench if made is built else replace(bench, build=lambda _: made)
    return Int8Lowering(
        model=made,
        plan=final,
        policy=policy,
        ranges={name: ranges[name] for name in final.tensors},
        methods_db=methods_db,
        never_int8=explain_float_layers(model, [node.name for node in plan.nodes], policy.float_ops),
        kept_in_float=reasons,
        sqnr_db={name: estimate.sqnr_db for name, estimate in finished.measure_outputs_db(keep).items()},
        speed=speed,
        scales=scales,
        smoothing=smoothing,
        tables=tables,
        blocks=blocks,
        techniques=improved.techniques,
        accuracy=speed.accuracy or kept.accuracy,
        outliers=find_outliers(
            {name: observation for name, observation in observations.items() if name in final.tensors}, ranges
        ),
    )


def _finish_trials(bench: Bench, policy: Int8Policy, folder: Path) -> Bench:
    """Return the bench to take times on: where another runtime than that of trials does, what it gets is finished."""
    if policy.timed_on is None:
        return bench
    return replace(
        bench,
        model=policy.finish(bench.model),
        build=lambda keep: policy.finish(bench.build(keep)),
        kernels=policy.timed_on,
        weights=None,
        engines=folder / "engines",
    )


def _find_requested(model: onnx.ModelProto, keep_float: Sequence[str]) -> tuple[str, ...]:
    names = {node.name for node in model.graph.node}
    unknown = [name for name in keep_float if name not in names]
    if unknown:
        raise usage(
            f"no layer is called {unknown[0]}",
            where="quantize.keep_float",
            expected="names of nodes of the optimized ONNX file",
            found=unknown[0],
            fix="lowering.json of an earlier run lists the layers",
        )
    return tuple(keep_float)


def describe_int8(lowering: Int8Lowering, *, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return what lowering.json says of an int8 lowering; `notes` are sentences that the user must be told."""
    float_reasons = {**lowering.never_int8, **lowering.kept_in_float}
    ops = list_operators(lowering.model)
    empty = [] if lowering.plan.weighted_layers else [_explain_empty(float_reasons, ops)]
    return {
        "notes": [*notes, *empty],
        "scheme": asdict(lowering.policy.scheme),
        "accuracy": asdict(lowering.accuracy),
        "calibration_sqnr_db": dict(lowering.methods_db),
        "techniques": [asdict(technique) for technique in lowering.techniques],
        "sqnr_db": dict(lowering.sqnr_db),
        "held_back": list(lowering.kept_in_float),
        "kept_in_float": [{"name": name, "op": ops[name], "reason": reason} for name, reason in float_reasons.items()],
        "layers": [
            {"name": node.name, "op": node.op_type, "precision": "int8", "scale": node.scale}
            for node in lowering.plan.nodes
        ],
        "product_scales": lowering.scales.describe(),
        "smoothing": lowering.smoothing.describe(),
        "tables": lowering.tables.describe(),
        "blocks": lowering.blocks.describe(),
        "ranges": {name: [range_.low, range_.high] for name, range_ in lowering.ranges.items()},
        "range_sources": {
            name: "learned" if range_.learned else "calibrated" for name, range_ in lowering.ranges.items()
        },
        "outliers": [asdict(outlier) for outlier in lowering.outliers],
        "trials_on": lowering.policy.kernels or "exact sums, not the target's own kernels",
        "speed": lowering.speed.describe(),
        "speed_trials": [asdict(trial) for trial in lowering.speed.trials],
    }


def _explain_empty(reasons: Mapping[str, str], ops: Mapping[str, str]) -> str:
    """Return the sentence about a lowering to int8 in which nothing is int8: it must never go unsaid."""
    if not reasons:
        return "no layer is in int8: the model has none that multiplies by weights"
    first, reason = next(iter(reasons.items()))
    others = f", and {len(reasons) - 1} more in kept_in_float" if len(reasons) > 1 else ""
    return f"no layer is in int8: {first} ({ops[first]}) stays in float, {reason}{others}"
