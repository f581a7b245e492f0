"""Which layers stay in float: those that spoil the outputs, and those that int8 makes slower."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from toolchain.agent.measure.latency import SESSION_LUCK
from toolchain.lower.request import StartSteps
from toolchain.lower.trial import Trial

# The cost of a layer that float does not slow down: small against the microseconds of any other.
_FREE = 0.01


# The noise of a layer alone says what it adds to that of others, but not exactly. Where the sum of both misses the gate by
# as much, no trial is made: of 21 trials that passed on PP-OCR's recognizer, where noise adds up least, none had a sum of
# more than 2.7 dB under the gate; on MiniLM sums and trials differ by 0.4 dB.
_HOPELESS_DB = 3.0


class Rank(Protocol):
    """Tells how loud layers are."""

    def __call__(self, layers: Sequence[str], *, on_layer: Callable[[], None]) -> Mapping[str, float]:
        """Return the SQNR of the worst output in dB with each layer alone in int8; on_layer is called once a layer."""


@dataclass(frozen=True)
class AccuracySearch:
    """What it took to keep the outputs right."""

    keep_float: tuple[str, ...]
    """Layers to keep in float."""
    alone_db: Mapping[str, float]
    """SQNR with only this layer in int8; empty where everything could be int8."""


def find_guilty_layers(
    layers: Sequence[str],
    try_out: Callable[[frozenset[str]], Trial],
    *,
    rank: Rank,
    sqnr_db_min: float | None,
    start_steps: StartSteps,
    costs: Mapping[str, float] | None = None,
    known_db: Mapping[str, float] | None = None,
    proposed: frozenset[str] = frozenset(),
) -> AccuracySearch:
    """Return layers that must stay in float for the model to pass, at the least loss of time.

    try_out(keep_float) tells whether the model passes with those layers in float; rank(layers, on_layer) is the SQNR of its
    worst output with each of them alone in int8, by fewer samples, for the ranking alone; known_db is the ranking of an earlier
    search. sqnr_db_min is the gate, where SQNR decides, None where something else does.
    costs: the time that a layer in float costs (equal where absent). The noise that layers add is treated as independent,
    so that their powers add up: each layer is measured alone in int8, layers are ranked by noise over cost, the shortest
    prefix that passes is found by bisection, and then every layer of it that is not needed returns to int8, the costliest
    first, and of like ones the quietest. Each step but the ranking is a trial of the whole model. proposed: layers that are taken
    in place of such a prefix where they pass; no others are ranked then.
    """
    if try_out(frozenset()).passes:
        return AccuracySearch((), {})
    noise = 0.0
    if proposed and (offered := try_out(proposed)).passes:
        layers, noise = [layer for layer in layers if layer in proposed], _to_noise(offered.low_db)
    alone_db = dict(known_db or {})
    if unknown := [layer for layer in layers if layer not in alone_db]:
        alone_db |= rank(unknown, on_layer=start_steps("measure the noise of each layer", len(unknown)))
    cost = {layer: max((costs or {}).get(layer, 1.0), _FREE) for layer in layers}
    ranked = sorted(layers, key=lambda layer: alone_db[layer] + 10 * math.log10(cost[layer]))
    too_few, enough = 0, len(ranked)
    on_half = start_steps("find how many layers must stay in float", (enough - 1).bit_length())
    for _ in range((enough - 1).bit_length()):
        if enough - too_few > 1:
            middle = (too_few + enough) // 2
            trial = try_out(frozenset(ranked[:middle]))
            if trial.passes:
                enough, noise = middle, _to_noise(trial.low_db)
            else:
                too_few = middle
        on_half()
    keep = ranked[:enough]
    noise_max = math.inf if sqnr_db_min is None else _to_noise(sqnr_db_min - _HOPELESS_DB)
    on_layer = start_steps("return layers to int8 that may", len(keep))
    for layer in sorted(keep, key=lambda layer: (-cost[layer], -alone_db[layer])):
        if noise + _to_noise(alone_db[layer]) <= noise_max:
            trial = try_out(frozenset(keep) - {layer})
            if trial.passes:
                keep, noise = [name for name in keep if name != layer], _to_noise(trial.low_db)
        on_layer()
    return AccuracySearch(tuple(keep), alone_db)


def predict_guilty(alone_db: Mapping[str, float], *, all_db: float, sqnr_db_min: float) -> frozenset[str]:
    """Return the loudest layers, without which the noise of the others should be within the gate.

    alone_db: of each layer alone in int8; all_db: of all in int8. Powers are taken to add up, and where those of all are more than
    their sum, each is taken for as many times as much: errors of layers side by side may go the same way.
    """
    noise = {layer: _to_noise(sqnr_db) for layer, sqnr_db in alone_db.items()}
    left, guilty = max(_to_noise(all_db), sum(noise.values())), set[str]()
    times = left / max(sum(noise.values()), _LEAST_NOISE)
    for layer in sorted(noise, key=lambda name: -noise[name]):
        if left <= _to_noise(sqnr_db_min):
            break
        left -= times * noise[layer]
        guilty.add(layer)
    return frozenset(guilty)


def _to_noise(sqnr_db: float) -> float:
    """Return the power of the noise over that of the signal."""
    return float(10.0 ** (-sqnr_db / 10.0))


# Of a model that keeps everything: no layer is told from another there.
_LEAST_NOISE = 1e-20


@dataclass(frozen=True)
class LayerTime:
    """The median time of one layer in one run of the model, in microseconds."""

    int8_us: float
    float_us: float


def propose_slow_layers(times: Mapping[str, LayerTime]) -> tuple[tuple[str, ...], ...]:
    """Return growing sets of layers that were slower in int8: the worst one, two, four, …, all of them.

    A layer's own time leaves out the conversions at its borders, so a proposal is only a hint: whoever
    calls measures each set as a whole model and keeps it only if the model gets faster. A set that could not gain what two
    sessions of one model differ by is not proposed: no measurement would tell.
    """
    losses = {name: time.int8_us - time.float_us for name, time in times.items() if time.int8_us > time.float_us}
    ranked = sorted(losses, key=lambda name: -losses[name])
    sizes = [2**power for power in range(len(ranked).bit_length()) if 2**power < len(ranked)]
    noticed_us = SESSION_LUCK * sum(time.int8_us for time in times.values())
    return tuple(
        tuple(ranked[:size])
        for size in [*sizes, len(ranked)]
        if sum(losses[name] for name in ranked[:size]) > noticed_us
    )
