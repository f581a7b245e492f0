"""Float ONNX in, int8 ONNX by one runtime's policy out: calibrate, keep the outputs right, keep the model fast.

The result is never trusted to be good because it is int8: every output must reach its SQNR on real data,
and every layer must be worth it. Layers that spoil an output, and layers that int8 makes slower on this
machine, stay in float and are listed with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.temporary import TemporaryFolder
from toolchain.errors import usage
from toolchain.graph.learned_ranges import LearnedRanges, drop_ranges, read_ranges, restore_pairs
from toolchain.lower.accuracy import Accuracy, choose_kept
from toolchain.lower.blocks import BlockChoice, choose_blocks
from toolchain.lower.calibration import choose_ranges, load_method, observe_tensors
from toolchain.lower.calibration.observation import Observation
from toolchain.lower.calibration.outliers import Outlier, find_outliers
from toolchain.lower.dynamic.choice import ScaleChoice, choose_scales
from toolchain.lower.float_graph import bind_comparison
from toolchain.lower.float_reasons import explain_float_layers, list_operators
from toolchain.lower.infinite import explain_infinite
from toolchain.lower.layer_search import LayerTime
from toolchain.lower.learned import find_learned, match_weight_bits
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.request import StartSteps
from toolchain.lower.sensor_bytes import find_byte_ranges
from toolchain.lower.smoothing import Smoothing, smooth_outliers
from toolchain.lower.speed import LayerTimes, SpeedSearch, find_slow_layers, time_both
from toolchain.lower.stored_weights import StoredWeights
from toolchain.lower.tables import Tables, choose_tables
from toolchain.lower.task_trial import Task
from toolchain.lower.techniques.improve import Technique, count_learners, improve_numbers
from toolchain.lower.trial import Arrays, Bench
from toolchain.project.recipe import QuantizeSection

# The search looks at fewer samples than the gate, and therefore asks for a lower bound (lower/trial.py).
_SEARCH_SAMPLES = 32

# Samples that the search did not see, to confirm what it found; and as many again for one that these refute, where there
# are enough to be more than a search sees.
_CONFIRM_SAMPLES = 96
_REFERENCES = _SEARCH_SAMPLES + 2 * _CONFIRM_SAMPLES


@dataclass(frozen=True)
class Int8Lowering:
    """The int8 model and everything that was decided on the way to it."""

    model: onnx.ModelProto
    plan: QdqPlan
    policy: Int8Policy
    ranges: Mapping[str, TensorRange]
    methods_db: Mapping[str, float]
    """SQNR in dB of the model all in int8 but for what is infinite, by calibration method; the highest was taken."""
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
    Raises ToolchainError: exit 2 for a layer in keep_float that the model lacks, 18 where the model returns NaN, 23
    where an activation is NaN.
    """
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
        smoothing = smooth_outliers(model, feeds, policy.scheme, kernels=policy.kernels)
    model = smoothing.model
    plan = policy.plan(model, frozenset())
    policy = policy.limit(plan.tensors)
    requested = _find_requested(model, options.keep_float)
    tables = Tables()
    if policy.has_tables and learned is None:
        tables = choose_tables(model, feeds, sqnr_db_min=sqnr_db_min, keep_float=requested)
    policy = tables.join(policy)
    weights = StoredWeights(tables.write(model), folder)
    benches, others, observations, infinite = _calibrate(
        model, plan, feeds, options, policy, start_steps, learned, weights
    )
    methods_db = {method: bench.measure_sqnr_db(frozenset(infinite)) for method, (_, bench) in benches.items()}
    ranges, bench = benches[max(methods_db, key=lambda method: methods_db[method])]
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
    improved = improve_numbers(bench, policy, ranges, feeds, frozenset(infinite), start_steps=start_steps)
    bench = replace(bench, build=partial(policy.write, model, ranges, adjustment=improved.adjustment))
    others = [replace(other, build=bench.build) for other in others]
    timed = _finish_trials(bench, policy, folder)
    if is_timed:
        known = time_both(timed, plan.weighted_layers, frozenset(reasons), threads=threads)
        known = replace(known, times=_sum_shared(plan, known.times))
    kept = choose_kept(bench, others, plan, frozenset(reasons), known.times, sqnr_db_min, start_steps, task)
    reasons |= kept.reasons
    if is_timed:
        speed = find_slow_layers(timed, plan, frozenset(reasons), known, threads=threads, start_steps=start_steps)
        reasons |= speed.keep_float
    keep = frozenset(reasons)
    final = policy.plan(model, keep)
    reasons |= _explain_shared(plan, keep)
    blocks = choose_blocks(
        bench.build(keep),
        keep - {*requested, *infinite},
        [bench, *others],
        sqnr_db_min=sqnr_db_min,
        compare_speed=bind_comparison(feeds[0], policy.kernels, threads=threads)
        if policy.kernels and is_timed and policy.has_blocks and kept.accuracy.decides == "sqnr"
        else None,
    )
    made = policy.finish(blocks.model)
    finished = replace(bench, build=lambda _: made)
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
        accuracy=kept.accuracy,
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


def _sum_shared(plan: QdqPlan, times: Mapping[str, LayerTime]) -> dict[str, LayerTime]:
    """Return the times of the deciding layers, each with those that share its weight."""
    return {
        name: LayerTime(
            int8_us=sum(times[layer].int8_us for layer in sharing if layer in times),
            float_us=sum(times[layer].float_us for layer in sharing if layer in times),
        )
        for name, sharing in plan.deciding_layers.items()
        if times.keys() & set(sharing)
    }


def _explain_shared(plan: QdqPlan, keep: frozenset[str]) -> dict[str, str]:
    """Return why layers stay in float whose weight is that of a layer in float, by their name."""
    return {
        layer: f"its weight is that of {held[0]}, which stays in float: stored in both forms it would be larger"
        for sharing in plan.deciding_layers.values()
        if (held := [layer for layer in sharing if layer in keep])
        for layer in sharing
        if layer not in keep
    }


def _calibrate(
    model: onnx.ModelProto,
    plan: QdqPlan,
    feeds: Sequence[Arrays],
    options: QuantizeSection,
    policy: Int8Policy,
    start_steps: StartSteps,
    learned: LearnedRanges | None,
    weights: StoredWeights,
) -> tuple[dict[str, tuple[Mapping[str, TensorRange], Bench]], list[Bench], Mapping[str, Observation], dict[str, str]]:
    """Return the ranges by each method that may be taken with the bench to judge them by.

    Beside them: benches on samples that confirm, what was observed, and what is infinite.
    No method is the best for every model: clipping helps where outliers are noise, and hurts where they carry the
    answer. All of them read the same histograms, so that trying them costs one session each. A learned range is never
    replaced by a calibrated one.
    """
    known = {**find_byte_ranges(model, plan.tensors), **find_learned(model, plan.tensors, learned)}
    missing = [name for name in plan.tensors if name not in known]
    trained = restore_pairs(model, learned) if learned is not None else None
    found: dict[str, dict[str, TensorRange]] = {"learned": known}
    observations: Mapping[str, Observation] = {}
    returned: dict[int, Arrays] = {}

    def keep_outputs(sample: int, outputs: Arrays) -> None:
        if sample < _REFERENCES:
            returned[sample] = outputs

    if missing or not known:
        methods = [member.name for member in options.list_calibration_methods()]
        counting = any(load_method(method).COUNTS for method in methods)
        on_batch = start_steps("calibrate", len(feeds))
        observations = observe_tensors(
            model, missing, feeds, counting=counting, on_batch=on_batch, on_outputs=keep_outputs
        )
        found = {
            method: choose_ranges(observations, method=method, symmetric=policy.scheme.symmetric) | known
            for method in methods
        }
    empty = Bench(
        model=model,
        build=lambda _: model,
        feeds=(),
        references=(),
        trained=trained,
        kernels=policy.kernels,
        weights=weights,
    )
    references = [returned[sample] for sample in sorted(returned)]
    first, *others = (empty.on(feeds[part], references[part]) for part in _list_parts(len(feeds)))
    benches: dict[str, tuple[Mapping[str, TensorRange], Bench]] = {
        method: (ranges, replace(first, build=partial(policy.write, model, ranges))) for method, ranges in found.items()
    }
    return benches, others, observations, explain_infinite(model, plan, observations, policy.scheme)


def _list_parts(samples: int) -> list[slice]:
    """Return the samples that search, and those that confirm: once or twice, and never those that teach better numbers."""
    end = min(samples - count_learners(samples), _REFERENCES)
    middle = min(_SEARCH_SAMPLES + _CONFIRM_SAMPLES, end)
    parts = [slice(_SEARCH_SAMPLES)]
    if middle > _SEARCH_SAMPLES:
        parts.append(slice(_SEARCH_SAMPLES, middle))
    if end - middle >= _SEARCH_SAMPLES:
        parts.append(slice(middle, end))
    return parts


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
        "speed": {"status": lowering.speed.status, "problems": list(lowering.speed.problems)},
        "speed_trials": [asdict(trial) for trial in lowering.speed.trials],
    }


def _explain_empty(reasons: Mapping[str, str], ops: Mapping[str, str]) -> str:
    """Return the sentence about a lowering to int8 in which nothing is int8: it must never go unsaid."""
    if not reasons:
        return "no layer is in int8: the model has none that multiplies by weights"
    first, reason = next(iter(reasons.items()))
    others = f", and {len(reasons) - 1} more in kept_in_float" if len(reasons) > 1 else ""
    return f"no layer is in int8: {first} ({ops[first]}) stays in float, {reason}{others}"
