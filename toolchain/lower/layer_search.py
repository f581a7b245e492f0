"""Which layers stay in float: those that spoil the outputs, and those that int8 makes slower."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from toolchain.lower.request import StartSteps
from toolchain.lower.trial import Trial

# The cost of a layer that float does not slow down: small against the microseconds of any other.
_FREE = 0.01


# The noise of a layer alone says what it adds to that of others, but not exactly. Where the sum of both misses the gate by
# as much, no trial is made: of 21 trials that passed on PP-OCR's recognizer, where noise adds up least, none had a sum of
# more than 2.7 dB under the gate; on MiniLM sums and trials differ by 0.4 dB.
_HOPELESS_DB = 3.0


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
    rank_sqnr_db: Callable[[frozenset[str]], float],
    sqnr_db_min: float | None,
    start_steps: StartSteps,
    costs: Mapping[str, float] | None = None,
    known_db: Mapping[str, float] | None = None,
) -> AccuracySearch:
    """Return layers that must stay in float for the model to pass, at the least loss of time.

    try_out(keep_float) tells whether the model passes with those layers in float; rank_sqnr_db(keep_float) is the SQNR of
    its worst output by fewer samples, for the ranking alone; known_db is the ranking of an earlier search. sqnr_db_min is
    the gate, where SQNR decides, None where something else does.
    costs: the time that a layer in float costs (equal where absent). The noise that layers add is treated as independent,
    so that their powers add up: each layer is measured alone in int8, layers are ranked by noise over cost, the shortest
    prefix that passes is found by bisection, and then every layer of it that is not needed returns to int8, the costliest
    first, and of like ones the quietest. Each step but the ranking is a trial of the whole model.
    """
    everything = frozenset(layers)
    if try_out(frozenset()).passes:
        return AccuracySearch((), {})
    alone_db = dict(known_db or {})
    if unknown := [layer for layer in layers if layer not in alone_db]:
        on_layer = start_steps("measure the noise of each layer", len(unknown))
        for layer in unknown:
            alone_db[layer] = rank_sqnr_db(everything - {layer})
            on_layer()
    cost = {layer: max((costs or {}).get(layer, 1.0), _FREE) for layer in layers}
    ranked = sorted(layers, key=lambda layer: alone_db[layer] + 10 * math.log10(cost[layer]))
    too_few, enough, noise = 0, len(ranked), 0.0
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


def _to_noise(sqnr_db: float) -> float:
    """Return the power of the noise over that of the signal."""
    return float(10.0 ** (-sqnr_db / 10.0))


@dataclass(frozen=True)
class LayerTime:
    """The median time of one layer in one run of the model, in microseconds."""

    int8_us: float
    float_us: float


def propose_slow_layers(times: Mapping[str, LayerTime]) -> tuple[tuple[str, ...], ...]:
    """Return growing sets of layers that were slower in int8: the worst one, two, four, …, all of them.

    A layer's own time leaves out the conversions at its borders, so a proposal is only a hint: whoever
    calls measures each set as a whole model and keeps it only if the model gets faster.
    """
    losses = {name: time.int8_us - time.float_us for name, time in times.items() if time.int8_us > time.float_us}
    ranked = sorted(losses, key=lambda name: -losses[name])
    sizes = [2**power for power in range(len(ranked).bit_length()) if 2**power < len(ranked)]
    return tuple(tuple(ranked[:size]) for size in [*sizes, len(ranked)] if size)
