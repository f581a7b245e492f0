"""Precision by measurement: layers that are slower in int8 than in float on this machine stay in float.

Some layers lose in int8 on real CPUs: the first convolution (3 input channels fill no vector), depthwise
convolutions at high resolution, small layers between which conversions cost more than they gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolchain.agent.latency import measure_latency
from toolchain.agent.session import Session
from toolchain.lower.layer_times import time_layers
from toolchain.lower.onnxruntime import weighted_layers
from toolchain.lower.qdq import QdqPlan
from toolchain.lower.search import LayerTime, propose_slow_layers
from toolchain.lower.trial import Arrays, Bench, open_model

# Enough for a ratio to a few percent; all variants are measured in turns, so the machine's drift hits all alike.
_SAMPLES = 200
_LIMIT_S = 10.0

_PLAIN = "int8"


@dataclass(frozen=True)
class SpeedTrial:
    """A set of layers in float, and how many times faster the whole model is with it than without."""

    layers: tuple[str, ...]
    speedup: float
    speedup_low: float
    """Lower end of the 99 % interval."""


def find_slow_layers(
    bench: Bench, plan: QdqPlan, keep_float: frozenset[str], *, on_step: Callable[[], None]
) -> tuple[dict[str, str], tuple[SpeedTrial, ...]]:
    """Return the layers that make the model faster when they stay in float, each with the reason, and the trials.

    The profile of both models proposes sets of layers; each set is built and measured as a whole model, in
    turns with the plain int8 model. The fastest wins if it is faster beyond doubt; otherwise none is returned.
    """
    layers = [name for name in weighted_layers(plan) if name not in keep_float]
    feed = bench.feeds[0]
    int8_us = time_layers(bench.build(keep_float), layers, feed, threads=bench.threads)
    float_us = time_layers(bench.model, layers, feed, threads=bench.threads)
    both = [name for name in layers if name in int8_us and name in float_us]
    times = {name: LayerTime(int8_us=int8_us[name], float_us=float_us[name]) for name in both}
    proposals = {f"{len(proposal)} in float": proposal for proposal in propose_slow_layers(times)}
    if not proposals:
        return {}, ()
    sessions = {_PLAIN: open_model(bench.build(keep_float), threads=bench.threads)}
    for name, proposal in proposals.items():
        sessions[name] = open_model(bench.build(keep_float | frozenset(proposal)), threads=bench.threads)
        on_step()
    runs = {name: _bind_run(session, feed) for name, session in sessions.items()}
    measurement = measure_latency(runs, samples=_SAMPLES, limit_s=_LIMIT_S)
    trials = []
    for name, proposal in proposals.items():
        ratio = measurement.compare(_PLAIN, name)
        if ratio.ratio is not None and ratio.low is not None:
            trials.append(SpeedTrial(layers=proposal, speedup=ratio.ratio, speedup_low=ratio.low))
    winner = max(trials, key=lambda trial: trial.speedup_low, default=None)
    if winner is None or winner.speedup_low <= 1.0:
        return {}, tuple(trials)
    reasons = {
        name: f"slower in int8 on this machine: {times[name].int8_us:.0f} us, {times[name].float_us:.0f} us in float"
        for name in winner.layers
    }
    return reasons, tuple(trials)


def _bind_run(session: Session, feed: Arrays) -> Callable[[], object]:
    return lambda: session.run(feed)
