"""Precision by measurement: layers that are slower in int8 than in float on this machine stay in float.

Some layers lose in int8 on real CPUs: the first convolution (3 input channels fill no vector), depthwise
convolutions at high resolution, small layers between which conversions cost more than they gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolchain.agent.measure.conditions import read_conditions
from toolchain.agent.measure.episodes import EPISODES
from toolchain.agent.measure.latency import FASTER, NOT_FASTER, UNDECIDED, Measurement, decide, measure_latency
from toolchain.agent.measure.machine_speed import SPEED_MEMORY
from toolchain.agent.measure.session import Session
from toolchain.agent.measure.validity import find_contention, find_validity
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.session import open_as_board
from toolchain.lower.accuracy import Accuracy
from toolchain.lower.layer_search import LayerTime, propose_slow_layers
from toolchain.lower.layer_times import time_layers
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.request import StartSteps
from toolchain.lower.trial import Arrays, Bench
from toolchain.run.cache import cache_root

# Enough for a ratio to a few percent; all variants are measured in turns, so the machine's drift hits all alike.
_SAMPLES = 200
# Of all sets together; then of those that are still open, where others are not; and of the winner.
_LIMIT_S = 5.0
_ROOT = Path("/")


@dataclass(frozen=True)
class SpeedTrial:
    """A set of layers in float, and how many times faster the whole model is with it than without."""

    layers: tuple[str, ...]
    speedup: float
    speedup_low: float
    """Lower end of the 99 % interval."""
    speedup_high: float
    decision: str
    """What the interval proves: "faster", "not faster" or "undecided" (toolchain/agent/measure/latency.py)."""
    confirms: bool = False
    """Whether it repeats a trial that won, in sessions of its own."""


@dataclass(frozen=True)
class LayerTimes:
    """The time of each layer in float and in int8, where both profiles show it."""

    times: Mapping[str, LayerTime] = field(default_factory=dict)
    """Empty where others ran meanwhile: times taken then would choose other layers than on an idle machine."""
    int8_run_us: float | None = None
    """Of the whole model with its layers in int8; None where no profile shows it."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpeedSearch:
    """The layers that int8 slows down, and whether the machine could tell."""

    keep_float: Mapping[str, str] = field(default_factory=dict)
    """Layer to reason."""
    trials: tuple[SpeedTrial, ...] = ()
    status: str = "not measured"
    """"decided", "undecided" (then int8 stays) or "not measured"."""
    problems: tuple[str, ...] = ()
    """Why the times meant nothing."""
    refused: tuple[str, ...] = ()
    """Layers with which the model would be faster in float, and is less accurate than it must be."""
    accuracy: Accuracy | None = None
    """How sure the accuracy is with the layers to be kept in float, where there are some."""

    def describe(self) -> dict[str, Any]:
        """Return what lowering.json says of it, beside the trials."""
        return {"status": self.status, "problems": list(self.problems), "refused": list(self.refused)}


def find_slow_layers(
    bench: Bench,
    plan: QdqPlan,
    keep_float: frozenset[str],
    known: LayerTimes,
    *,
    judge: Callable[[frozenset[str]], Accuracy | None],
    threads: int,
    start_steps: StartSteps,
) -> SpeedSearch:
    """Return the layers that make the model faster when they stay in float.

    The times of layers propose sets of them; each set, and last all layers together where those in float could be faster than the
    model in int8, is built and measured as a whole model, in turns with the plain int8 model. The set that is surely the fastest must win once more against the plain
    model alone: the best of several flatters itself, sessions differ by luck, and neighbours may have slowed down a
    stretch of time. Otherwise no layer is returned; and where the intervals leave it open, or the measurement was
    disturbed, the search says that nothing was decided.
    judge: None where the model with all these layers in float does not keep what it must. It may not, although a layer in
    float is exact: what two layers round alike may cancel out, and with one of them in float it does not.
    """
    layers = tuple(name for name, sharing in plan.deciding_layers.items() if not keep_float.intersection(sharing))
    times, proposals = known.times, _propose_sets(layers, known)
    if not proposals:
        return SpeedSearch(status="decided")
    if known.problems:
        return SpeedSearch(status="undecided", problems=known.problems)
    trials, problems, winner = _try_sets(bench, keep_float, proposals, threads=threads, start_steps=start_steps)
    still_open = [trial.layers for trial in trials if trial.decision == UNDECIDED]
    if not problems and winner is None and 0 < len(still_open) < len(trials):
        decided = [trial for trial in trials if trial.decision != UNDECIDED]
        again, problems, winner = _try_sets(bench, keep_float, still_open, threads=threads, start_steps=start_steps)
        trials = (*decided, *again)
    if problems or winner is None:
        is_open = problems or any(trial.decision == UNDECIDED for trial in trials)
        return SpeedSearch(trials=trials, status="undecided" if is_open else "decided", problems=problems)
    accuracy = judge(keep_float | frozenset(winner.layers))
    if accuracy is None:
        return SpeedSearch(trials=trials, status="decided", refused=winner.layers)
    again, problems, confirmed = _try_sets(bench, keep_float, [winner.layers], threads=threads, start_steps=start_steps)
    trials = (*trials, *(replace(trial, confirms=True) for trial in again))
    if problems or confirmed is None:
        return SpeedSearch(trials=trials, status="undecided", problems=problems)
    what = "this layer" if len(winner.layers) == 1 else f"these {len(winner.layers)} layers"
    gain = f"the model is {confirmed.speedup:.2f} times as fast with {what} in float"
    reasons = {name: _explain(name, times, gain) for name in winner.layers}
    return SpeedSearch(keep_float=reasons, trials=trials, status="decided", accuracy=accuracy)


def _propose_sets(layers: tuple[str, ...], known: LayerTimes) -> list[tuple[str, ...]]:
    """Return sets of layers that may be faster in float, the smallest first."""
    if not layers:
        return []
    times = {name: known.times[name] for name in layers if name in known.times}
    proposed = {*propose_slow_layers(times)}
    # Where the layers alone take longer in float than all of the model in int8, only a part of them can gain.
    if known.int8_run_us is None or sum(time.float_us for time in times.values()) <= known.int8_run_us:
        proposed.add(layers)
    return sorted(proposed, key=len)


def _try_sets(
    bench: Bench,
    keep_float: frozenset[str],
    proposals: Sequence[tuple[str, ...]],
    *,
    threads: int,
    start_steps: StartSteps,
) -> tuple[tuple[SpeedTrial, ...], tuple[str, ...], SpeedTrial | None]:
    """Return a trial of each set, all measured in turns with the model that has none of them in float.

    Beside the trials: what makes them worthless, and the winner: the smallest set that is not slower than the best.
    """
    plain: tuple[str, ...] = ()
    runtime = _name_kernels(bench)
    sessions = {}
    # What takes most memory while it is opened, the most layers in float, comes before the others' sessions are there.
    for layers in sorted([plain, *proposals], key=len, reverse=True):
        sessions[layers] = open_as_board(
            bench.build(keep_float | frozenset(layers)),
            runtime=runtime,
            threads=threads,
            is_timed=True,
            built_for=bench.feeds[0],
            engines=bench.engines,
        )
    runs = {_name_trial(layers): _bind_run(sessions[layers], bench.feeds[0]) for layers in [plain, *proposals]}

    def judge(measurement: Measurement) -> list[SpeedTrial]:
        ratios = {proposal: measurement.compare(_name_trial(plain), _name_trial(proposal)) for proposal in proposals}
        return [
            # Never 0: measure_latency makes 11 rounds at least, and an interval needs no more.
            SpeedTrial(proposal, ratio.ratio or 0.0, ratio.low or 0.0, ratio.high or 0.0, decide(ratio))
            for proposal, ratio in ratios.items()
        ]

    def is_decided(measurement: Measurement) -> bool:
        decisions = [trial.decision for trial in judge(measurement)]
        return FASTER in decisions or UNDECIDED not in decisions

    before = read_conditions(_ROOT)
    memory = cache_root() / SPEED_MEMORY
    measurement = measure_latency(
        runs,
        samples=_SAMPLES,
        samples_to_look=EPISODES,
        limit_s=_LIMIT_S,
        on_progress=_count_percents(start_steps),
        is_decided=is_decided,
        memory=memory,
    )
    problems = find_validity(measurement, before, read_conditions(_ROOT)).problems
    for session in sessions.values():
        session.close()
    trials = judge(measurement)
    won = [trial for trial in trials if trial.decision == FASTER]
    if not won:
        return tuple(trials), problems, None
    best = max(won, key=lambda trial: trial.speedup_low)
    names = {trial.layers: _name_trial(trial.layers) for trial in won}
    winner = next(
        trial
        for trial in won
        if trial is best or decide(measurement.compare(names[trial.layers], names[best.layers])) == NOT_FASTER
    )
    return tuple(trials), problems, winner


def time_both(bench: Bench, plan: QdqPlan, keep_float: frozenset[str], *, threads: int) -> LayerTimes:
    """Return the time in float and in int8 of each deciding layer of a plan, with those that share its weight."""
    layers = plan.weighted_layers
    feed, runtime = bench.feeds[0], _name_kernels(bench)
    before = read_conditions(_ROOT)
    try:
        int8_us, int8_run_us = time_layers(bench.build(keep_float), layers, feed, runtime=runtime, threads=threads)
        float_us, _ = time_layers(bench.model, layers, feed, runtime=runtime, threads=threads)
    except ToolchainError as error:
        if error.code != ExitCode.INVALID:
            raise
        return LayerTimes(problems=(f"{error.what}: {error.where}: {error.found}",))
    problems = find_contention(before, read_conditions(_ROOT))
    if problems:
        return LayerTimes(problems=problems)
    timed = int8_us.keys() & float_us.keys()
    return LayerTimes(
        {
            name: LayerTime(
                int8_us=sum(int8_us[layer] for layer in sharing if layer in timed),
                float_us=sum(float_us[layer] for layer in sharing if layer in timed),
            )
            for name, sharing in plan.deciding_layers.items()
            if timed & set(sharing)
        },
        int8_run_us=int8_run_us,
    )


def _count_percents(start_steps: StartSteps) -> Callable[[int, int], None]:
    """Return what is told of (percent done, 100) and shows it."""
    advance, shown = start_steps("measure the model with layers in float", 100), 0

    def show(percent: int, _total: int) -> None:
        nonlocal shown
        for _ in range(percent - shown):
            advance()
        shown = max(shown, percent)

    return show


def _name_kernels(bench: Bench) -> str:
    if bench.kernels is None:
        message = "layers are timed on the target's own kernels alone"
        raise ValueError(message)
    return bench.kernels


def _explain(name: str, times: Mapping[str, LayerTime], gain: str) -> str:
    if name not in times:
        return gain
    return f"{times[name].int8_us:.0f} us in int8, {times[name].float_us:.0f} us in float; {gain}"


def _name_trial(proposal: tuple[str, ...]) -> str:
    return ",".join(proposal)


def _bind_run(session: Session, feed: Arrays) -> Callable[[], object]:
    return lambda: session.run(feed)
