"""Improves numbers as they will be: of all layers where all can stay in int8 then, else without a head, or without those that cannot.

What is learned beside a layer that cannot stay makes up for its noise, and is wrong once that layer is in float. A layer that
was in float meanwhile has learned nothing, and can hardly come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolchain.lower.accuracy import rank_layers
from toolchain.lower.head import list_heads, race_methods
from toolchain.lower.layer_search import predict_guilty
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.request import StartSteps
from toolchain.lower.techniques.improve import Technique, improve_numbers
from toolchain.lower.trial import Arrays, Bench


@dataclass(frozen=True)
class InContext:
    """What builds the improved model, and what is known of its layers."""

    bench: Bench
    others: list[Bench]
    """On samples that confirm."""
    techniques: tuple[Technique, ...]
    alone_db: Mapping[str, float]
    """The SQNR that each layer leaves alone in int8; empty where nobody asked, or since then something was improved."""
    ranges: Mapping[str, TensorRange]
    head: frozenset[str] = frozenset()
    """Layers with which in float every output keeps the gate; empty where none is needed, or no head is enough."""


def improve_in_context(
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    policy: Int8Policy,
    found: Mapping[str, Mapping[str, TensorRange]],
    method: str,
    feeds: Sequence[Arrays],
    keep: frozenset[str],
    *,
    sqnr_db_min: float | None,
    enough_db: float,
    start_steps: StartSteps,
) -> InContext:
    """Return the benches with the adjustment that gains most.

    found: the ranges by calibration method; method: the one that serves all layers best. keep: layers that are in float already.
    sqnr_db_min: the gate, which tells whether others must join them; None where something else decides, and all of the plan is
    improved. enough_db: what surely keeps so much is left as it is.
    """

    def improve(started: Bench, ranges: Mapping[str, TensorRange], beside_float: frozenset[str]) -> InContext:
        confirm = [replace(other, build=started.build) for other in others]
        improved = improve_numbers(
            started,
            policy,
            ranges,
            feeds,
            beside_float,
            enough_db=enough_db,
            confirm=confirm[:1],
            start_steps=start_steps,
        )
        if improved.bench is not started:
            confirm = [replace(other, build=improved.bench.build) for other in others]
        return InContext(improved.bench, confirm, improved.techniques, {}, ranges)

    whole = improve(bench, found[method], keep)
    if sqnr_db_min is None or _is_kept(whole, keep, sqnr_db_min):
        return whole
    heads = list_heads(bench.model, plan, keep, feeds[0])
    for head, best, racer in race_methods(bench, policy, found, keep, heads, sqnr_db_min=sqnr_db_min) if heads else ():
        without = improve(racer, found[best], keep | head)
        if _is_kept(without, keep | head, sqnr_db_min):
            return replace(without, head=head)
    if (all_db := bench.measure_sqnr_db(keep)) >= sqnr_db_min:
        return whole
    alone_db = rank_layers(bench, plan, keep, start_steps)
    guilty = predict_guilty(alone_db, all_db=all_db, sqnr_db_min=sqnr_db_min)
    left = improve(bench, found[method], keep | guilty) if guilty else whole
    return replace(left, alone_db=alone_db) if left.bench is bench else left


def _is_kept(found: InContext, layers: frozenset[str], sqnr_db_min: float) -> bool:
    """Return whether every output surely keeps the gate with these layers in float, on the samples that confirm too."""
    return all(bench.measure_sqnr_db(layers) >= sqnr_db_min for bench in (found.bench, *found.others[:1]))
