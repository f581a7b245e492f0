"""Precision by measurement: layers that are slower in int8 than in float on this machine stay in float.

Some layers lose in int8 on real CPUs: the first convolution (3 input channels fill no vector), depthwise
convolutions at high resolution, small layers between which conversions cost more than they gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from toolchain.agent.latency import is_faster, measure_latency
from toolchain.agent.session import Session
from toolchain.lower.layer_times import time_layers
from toolchain.lower.qdq import QdqPlan
from toolchain.lower.search import LayerTime, propose_slow_layers
from toolchain.lower.trial import Arrays, Bench, open_model

# Enough for a ratio to a few percent; all variants are measured in turns, so the machine's drift hits all alike.
_SAMPLES = 200
_LIMIT_S = 10.0


@dataclass(frozen=True)
class SpeedTrial:
    """A set of layers in float, and how many times faster the whole model is with it than without."""

    layers: tuple[str, ...]
    speedup: float
    speedup_low: float
    """Lower end of the 99 % interval."""
    faster: bool
    """The interval lies above 1 by more than two sessions of one model differ."""
    confirms: bool = False
    """Whether it repeats a trial that won, in sessions of its own."""


def find_slow_layers(
    bench: Bench,
    plan: QdqPlan,
    keep_float: frozenset[str],
    times: Mapping[str, LayerTime],
    *,
    threads: int,
    on_step: Callable[[], None],
) -> tuple[dict[str, str], tuple[SpeedTrial, ...]]:
    """Return the layers that make the model faster when they stay in float, each with the reason, and the trials.

    The times of layers propose sets of them; each set, and last all layers together, is built and measured as a whole
    model, in turns with the plain int8 model. The set that is surely the fastest must win once more against the plain
    model alone: the best of several flatters itself, sessions differ by luck, and neighbours may have slowed down a
    stretch of time. Otherwise no layer is returned.
    """
    layers = tuple(name for name, sharing in plan.deciding_layers.items() if not keep_float.intersection(sharing))
    if not layers:
        return {}, ()
    proposals = sorted({*propose_slow_layers({name: times[name] for name in layers if name in times}), layers}, key=len)
    trials = _try_sets(bench, keep_float, proposals, threads=threads, on_step=on_step)
    winner = max(trials, key=lambda trial: trial.speedup_low)
    if not winner.faster:
        return {}, tuple(trials)
    (again,) = _try_sets(bench, keep_float, [winner.layers], threads=threads, on_step=on_step)
    trials.append(replace(again, confirms=True))
    if not again.faster:
        return {}, tuple(trials)
    what = "this layer" if len(winner.layers) == 1 else f"these {len(winner.layers)} layers"
    gain = f"the model is {again.speedup:.2f} times as fast with {what} in float"
    return {name: _explain(name, times, gain) for name in winner.layers}, tuple(trials)


def _try_sets(
    bench: Bench,
    keep_float: frozenset[str],
    proposals: Sequence[tuple[str, ...]],
    *,
    threads: int,
    on_step: Callable[[], None],
) -> list[SpeedTrial]:
    """Return a trial of each set, all measured in turns with the model that has none of them in float."""
    plain: tuple[str, ...] = ()
    sessions = {plain: open_model(bench.build(keep_float), threads=threads)}
    for proposal in proposals:
        sessions[proposal] = open_model(bench.build(keep_float | frozenset(proposal)), threads=threads)
        on_step()
    runs = {_name_trial(proposal): _bind_run(session, bench.feeds[0]) for proposal, session in sessions.items()}
    measurement = measure_latency(runs, samples=_SAMPLES, limit_s=_LIMIT_S)
    ratios = {proposal: measurement.compare(_name_trial(plain), _name_trial(proposal)) for proposal in proposals}
    return [
        # Never 0: measure_latency makes 11 rounds at least, and an interval needs 8.
        SpeedTrial(proposal, ratio.ratio or 0.0, ratio.low or 0.0, is_faster(ratio))
        for proposal, ratio in ratios.items()
    ]


def time_both(bench: Bench, layers: Sequence[str], keep_float: frozenset[str], *, threads: int) -> dict[str, LayerTime]:
    """Return the time of each layer in float and in int8, where both profiles show it."""
    feed = bench.feeds[0]
    int8_us = time_layers(bench.build(keep_float), layers, feed, threads=threads)
    float_us = time_layers(bench.model, layers, feed, threads=threads)
    return {
        name: LayerTime(int8_us=int8_us[name], float_us=float_us[name])
        for name in layers
        if name in int8_us and name in float_us
    }


def _explain(name: str, times: Mapping[str, LayerTime], gain: str) -> str:
    if name not in times:
        return gain
    return f"{times[name].int8_us:.0f} us in int8, {times[name].float_us:.0f} us in float; {gain}"


def _name_trial(proposal: tuple[str, ...]) -> str:
    return ",".join(proposal)


def _bind_run(session: Session, feed: Arrays) -> Callable[[], object]:
    return lambda: session.run(feed)
