"""Improves numbers as they will be: of all layers where all can stay in int8 then, else without those that cannot.

What is learned beside a layer that cannot stay makes up for its noise, and is wrong once that layer is in float. A layer that
was in float meanwhile has learned nothing, and can hardly come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolchain.lower.accuracy import rank_layers
from toolchain.lower.layer_search import predict_guilty
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.request import StartSteps
from toolchain.lower.techniques.improve import Improved, Technique, improve_numbers
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


def improve_in_context(
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    policy: Int8Policy,
    ranges: Mapping[str, TensorRange],
    feeds: Sequence[Arrays],
    keep: frozenset[str],
    *,
    sqnr_db_min: float | None,
    enough_db: float,
    start_steps: StartSteps,
) -> InContext:
    """Return the benches with the adjustment that gains most.

    keep: layers that are in float already. sqnr_db_min: the gate, which predicts what must join them; None where something else
    decides, and all of the plan is improved. enough_db: what surely keeps so much is left as it is.
    """
    alone_db, guilty = dict[str, float](), frozenset[str]()
    if sqnr_db_min is not None and (all_db := bench.measure_sqnr_db(keep)) < sqnr_db_min:
        alone_db = rank_layers(bench, plan, keep, start_steps)
        guilty = predict_guilty(alone_db, all_db=all_db, sqnr_db_min=sqnr_db_min)
    others = [replace(other, build=bench.build) for other in others]

    def improve(beside_float: frozenset[str]) -> Improved:
        return improve_numbers(
            bench, policy, ranges, feeds, beside_float, enough_db=enough_db, confirm=others[:1], start_steps=start_steps
        )

    improved = improve(keep)
    if guilty and (sqnr_db_min is None or improved.bench.measure_sqnr_db(keep) < sqnr_db_min):
        improved = improve(keep | guilty)
    if improved.bench is bench:
        return InContext(bench, others, improved.techniques, alone_db)
    others = [replace(other, build=improved.bench.build) for other in others]
    return InContext(improved.bench, others, improved.techniques, {})
