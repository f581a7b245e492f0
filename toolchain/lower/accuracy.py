"""Which layers must stay in float for the outputs to be right: searched on some samples, confirmed on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from toolchain.agent.measure.quantities import write_difference
from toolchain.lower.layer_search import AccuracySearch, LayerTime, find_guilty_layers
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.request import StartSteps
from toolchain.lower.task_trial import LEAST_SQNR_DB, ProvesNothingError, Task, open_parts
from toolchain.lower.trial import Bench, Trial

# A search that its confirmation refutes is done again. Where no other samples are left to confirm that, its gate is what
# the refuted one kept and what was missing.
_SEARCHES = 3

# A board measures SQNR on its own samples, where a metric decides too: what was found here is its gate, but for so much.
_BOARD_DB = 3.0

# To rank layers by the noise that each causes alone, which takes half a run of the model for each layer and sample.
_RANK_SAMPLES = 4


@dataclass(frozen=True)
class Accuracy:
    """What decided which layers may be int8, and how sure that is."""

    decides: str
    """"sqnr", "metric" or "agreement" (quantize.accuracy of a recipe)."""
    reason: str | None = None
    """Why SQNR decides where the recipe asks for something else."""
    samples: int = 0
    """Held out of calibration, that confirmed the metric; the search saw as many others."""
    drop: float | None = None
    drop_upper: float | None = None
    """What the drop is at most with 99 %, on the samples that confirmed it."""
    drop_max: float | None = None
    sqnr_db_min: float | None = None
    """What a board must find of the outputs that the metric reads, in dB, in place of the gate."""


@dataclass(frozen=True)
class Kept:
    """Layers that must stay in float, each with the reason, and what decided it."""

    reasons: Mapping[str, str]
    accuracy: Accuracy
    judge: Callable[[frozenset[str]], Accuracy | None]
    """Given layers in float that something else chose: how sure it is of them, by the same samples; None where they fail."""


@dataclass(frozen=True)
class Candidates:
    """Layers that may go to float, and what ranks them."""

    bench: Bench
    plan: QdqPlan
    layers: tuple[str, ...]
    costs: Mapping[str, float]
    """The time that each costs in float."""
    start_steps: StartSteps
    ranking: Mapping[str, float] = field(default_factory=dict)
    """The SQNR that each leaves alone in int8, where it is known."""
    proposed: frozenset[str] = frozenset()
    """Some of them that should be enough."""

    def search(
        self,
        found: frozenset[str],
        try_out: Callable[[frozenset[str]], Trial],
        *,
        sqnr_db_min: float | None,
        known_db: Mapping[str, float] | None = None,
    ) -> AccuracySearch:
        """Return which of them must join those that were found, for what is tried to pass."""
        return find_guilty_layers(
            [layer for layer in self.layers if layer not in found],
            lambda guilty: try_out(found | guilty),
            rank=partial(self.bench.rank_alone_db, self.plan, keep_float=found, samples=_RANK_SAMPLES),
            known_db={**self.ranking, **(known_db or {})},
            sqnr_db_min=sqnr_db_min,
            costs=self.costs,
            proposed=self.proposed - found,
            start_steps=self.start_steps,
        )


def list_candidates(plan: QdqPlan, keep: frozenset[str]) -> tuple[str, ...]:
    """Return the layers of a plan that are decided about, without those that stay in float or share a weight with one."""
    return tuple(name for name, sharing in plan.deciding_layers.items() if not keep.intersection(sharing))


def rank_layers(bench: Bench, plan: QdqPlan, keep: frozenset[str], start_steps: StartSteps) -> dict[str, float]:
    """Return the SQNR in dB that each layer leaves alone in int8."""
    layers = list_candidates(plan, keep)
    on_layer = start_steps("measure the noise of each layer", len(layers))
    return bench.rank_alone_db(plan, layers, keep, samples=_RANK_SAMPLES, on_layer=on_layer)


def choose_kept(
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    keep: frozenset[str],
    times: Mapping[str, LayerTime],
    sqnr_db_min: float,
    start_steps: StartSteps,
    task: Task | None = None,
    alone_db: Mapping[str, float] | None = None,
    proposed: frozenset[str] = frozenset(),
) -> Kept:
    """Return the layers that must stay in float by the task's metric, where there is one that can tell, else by SQNR.

    The bench searches; others confirm: a search flatters itself on the samples that it chose by. alone_db: the layers' ranking,
    where it is known. proposed: layers that should be enough.
    """
    candidates = Candidates(
        bench=bench,
        plan=plan,
        layers=list_candidates(plan, keep),
        costs={name: time.float_us - time.int8_us for name, time in times.items()},
        start_steps=start_steps,
        ranking=alone_db or {},
        proposed=proposed,
    )
    if task is None:
        return keep_accurate(candidates, others, keep, sqnr_db_min)
    try:
        return _keep_by_task(task, candidates, others, keep, sqnr_db_min)
    except ProvesNothingError as error:
        return keep_accurate(candidates, others, keep, sqnr_db_min, reason=str(error))


def _keep_by_task(
    task: Task, candidates: Candidates, others: Sequence[Bench], keep: frozenset[str], sqnr_db_min: float
) -> Kept:
    """Return the layers that must stay in float for the metric to keep its gate; raises ProvesNothingError."""
    seen, unseen = open_parts(task, candidates.bench, others[0] if others else candidates.bench)

    def try_seen(layers: frozenset[str]) -> Trial:
        return seen.try_out(layers, sqnr_db_min=sqnr_db_min)

    def confirm(layers: frozenset[str]) -> Accuracy:
        sqnr, drop = unseen.measure_sqnr(layers, sqnr_db_min=sqnr_db_min), unseen.measure_drop(layers)
        if not (sqnr.passes and unseen.allows(drop)):
            raise ProvesNothingError(
                f"samples that the search by {task.scoring.name} did not see do not confirm what it found: SQNR "
                f"{sqnr.low_db:.1f} dB, {task.scoring.name} drop {_write_drop(task, drop.upper)} at most, of "
                f"{_write_drop(task, unseen.drop_max)} allowed"
            )
        return Accuracy(
            decides=task.accuracy,
            samples=drop.samples,
            drop=drop.drop,
            drop_upper=drop.upper,
            drop_max=unseen.drop_max,
            sqnr_db_min=min(sqnr_db_min, max(LEAST_SQNR_DB, sqnr.low_db - _BOARD_DB)),
        )

    def judge(layers: frozenset[str]) -> Accuracy | None:
        try:
            return confirm(layers) if try_seen(layers).passes else None
        except ProvesNothingError:
            return None

    search = candidates.search(keep, try_seen, sqnr_db_min=None)
    return Kept(
        reasons={
            name: f"spoils the {task.scoring.name}: alone in int8 it leaves {search.alone_db[name]:.1f} dB of SQNR"
            for name in search.keep_float
        },
        accuracy=confirm(keep | frozenset(search.keep_float)),
        judge=judge,
    )


def _write_drop(task: Task, drop: float | None) -> str:
    return "unknown" if drop is None else write_difference(drop, task.scoring.scale.unit)


def keep_accurate(
    candidates: Candidates,
    others: Sequence[Bench],
    keep: frozenset[str],
    sqnr_db_min: float,
    *,
    reason: str | None = None,
) -> Kept:
    """Return the layers that must stay in float for every output to keep its SQNR.

    The first of the others confirms what was found, by its own lower bound. Confirmed by their SQNR alone, models at the
    gate missed it on a third set by up to 1.1 dB (docs/wild.md). Where it is refuted, another search adds layers to those
    that it found, with the samples that refuted it, and the next of the others confirms; with a stricter gate where there
    is none. Where all that was proposed is confirmed, it is the result in place of a part of it that is not. reason: why SQNR decides where something else was asked for.
    """
    accuracy = Accuracy(decides="sqnr", reason=reason)
    seen, unseen, gate_db = candidates.bench, list(others), sqnr_db_min
    found, alone_db = keep, dict[str, float]()
    proposed = keep | candidates.proposed

    def try_seen(layers: frozenset[str]) -> Trial:
        return seen.try_out(layers, sqnr_db_min=gate_db)

    def measure_missing_db(layers: frozenset[str]) -> float:
        return sqnr_db_min - unseen[0].measure_sqnr_db(layers) if unseen else 0.0

    for _ in range(_SEARCHES if candidates.layers else 0):
        search = candidates.search(found, try_seen, sqnr_db_min=gate_db, known_db=alone_db)
        found, alone_db = found | frozenset(search.keep_float), {**alone_db, **search.alone_db}
        missing_db = measure_missing_db(found)
        if missing_db <= 0:
            break
        if candidates.proposed and try_seen(proposed).passes and measure_missing_db(proposed) <= 0:
            found = proposed
            break
        if len(unseen) > 1:
            seen = seen.join(unseen.pop(0))
        else:
            gate_db = seen.measure_sqnr_db(found) + missing_db
    return Kept(
        reasons={
            name: f"spoils an output: alone in int8 it leaves {alone_db[name]:.1f} dB of SQNR"
            for name in candidates.layers
            if name in found
        },
        accuracy=accuracy,
        judge=lambda layers: accuracy if try_seen(layers).passes and measure_missing_db(layers) <= 0 else None,
    )
