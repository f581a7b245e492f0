"""Which layers stay in float: those that spoil the outputs, and those that int8 makes slower."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AccuracySearch:
    """What it took to reach the SQNR gate."""

    keep_float: tuple[str, ...]
    """Layers to keep in float, the guiltiest first."""
    sqnr_db: float
    """The least SQNR over the outputs with these layers in float."""
    alone_db: Mapping[str, float]
    """SQNR with only this layer in int8; empty where everything could be int8."""


def find_guilty_layers(
    layers: Sequence[str],
    measure_sqnr_db: Callable[[frozenset[str]], float],
    *,
    rank_sqnr_db: Callable[[frozenset[str]], float] | None = None,
    sqnr_db_min: float,
    on_step: Callable[[], None] = lambda: None,
) -> AccuracySearch:
    """Return the fewest layers that must stay in float for every output to reach an SQNR.

    measure_sqnr_db(keep_float) runs the model with those layers in float and returns the least SQNR of its
    outputs; rank_sqnr_db does the same on fewer samples, for the ranking alone. The noise that layers add is treated as independent, so that their powers add up: each layer is
    measured alone in int8, they are ranked by the noise that they cause, and the shortest prefix that passes
    is found by bisection, each step measured on the whole model.
    """
    everything = frozenset(layers)
    sqnr_db = measure_sqnr_db(frozenset())
    on_step()
    if sqnr_db >= sqnr_db_min:
        return AccuracySearch((), sqnr_db, {})
    alone_db: dict[str, float] = {}
    for layer in layers:
        alone_db[layer] = (rank_sqnr_db or measure_sqnr_db)(everything - {layer})
        on_step()
    ranked = sorted(layers, key=lambda layer: alone_db[layer])
    too_few, enough, enough_db = 0, len(ranked), math.inf
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        middle_db = measure_sqnr_db(frozenset(ranked[:middle]))
        on_step()
        if middle_db >= sqnr_db_min:
            enough, enough_db = middle, middle_db
        else:
            too_few = middle
    return AccuracySearch(tuple(ranked[:enough]), enough_db, alone_db)


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
