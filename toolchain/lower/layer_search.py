"""Which layers stay in float: those that spoil the outputs, and those that int8 makes slower."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# The cost of a layer that float does not slow down: small against the microseconds of any other.
_FREE = 0.01


@dataclass(frozen=True)
class AccuracySearch:
    """What it took to reach the SQNR gate."""

    keep_float: tuple[str, ...]
    """Layers to keep in float."""
    sqnr_db: float
    """The least SQNR over the outputs with these layers in float."""
    alone_db: Mapping[str, float]
    """SQNR with only this layer in int8; empty where everything could be int8."""


def find_guilty_layers(
    layers: Sequence[str],
    measure_sqnr_db: Callable[[frozenset[str]], float],
    *,
    sqnr_db_min: float,
    costs: Mapping[str, float] | None = None,
    rank_sqnr_db: Callable[[frozenset[str]], float] | None = None,
    known_db: Mapping[str, float] | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> AccuracySearch:
    """Return layers that must stay in float for every output to reach an SQNR, at the least loss of time.

    measure_sqnr_db(keep_float) runs the model with those layers in float and returns the least SQNR of its outputs;
    rank_sqnr_db does the same on fewer samples, for the ranking alone; known_db is the ranking of an earlier search.
    costs: the time that a layer in float costs
    (equal where absent). The noise that layers add is treated as independent, so that their powers add up: each layer
    is measured alone in int8, layers are ranked by noise over cost, the shortest prefix that passes is found by
    bisection, and then every layer of it that is not needed returns to int8, the costliest first. Each step but the
    ranking is measured on the whole model.
    """
    everything = frozenset(layers)
    sqnr_db = measure_sqnr_db(frozenset())
    on_step()
    if sqnr_db >= sqnr_db_min:
        return AccuracySearch((), sqnr_db, {})
    alone_db = dict(known_db or {})
    for layer in [layer for layer in layers if layer not in alone_db]:
        alone_db[layer] = (rank_sqnr_db or measure_sqnr_db)(everything - {layer})
        on_step()
    cost = {layer: max((costs or {}).get(layer, 1.0), _FREE) for layer in layers}
    ranked = sorted(layers, key=lambda layer: alone_db[layer] + 10 * math.log10(cost[layer]))
    too_few, enough, enough_db = 0, len(ranked), math.inf
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        middle_db = measure_sqnr_db(frozenset(ranked[:middle]))
        on_step()
        if middle_db >= sqnr_db_min:
            enough, enough_db = middle, middle_db
        else:
            too_few = middle
    keep = ranked[:enough]
    for layer in sorted(keep, key=lambda layer: -cost[layer]):
        fewer = frozenset(keep) - {layer}
        fewer_db = measure_sqnr_db(fewer)
        on_step()
        if fewer_db >= sqnr_db_min:
            keep, enough_db = [name for name in keep if name != layer], fewer_db
    return AccuracySearch(tuple(keep), enough_db, alone_db)


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
