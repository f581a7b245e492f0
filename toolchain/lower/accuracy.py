"""Which layers must stay in float for the outputs to be right: searched on some samples, confirmed on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from toolchain.agent.measure.quantities import write_difference
from toolchain.lower.layer_search import LayerTime, find_guilty_layers
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.request import StartSteps
from toolchain.lower.task_trial import LEAST_SQNR_DB, ProvesNothingError, Task, open_parts
from toolchain.lower.trial import Bench, Trial

# A search that its confirmation refutes is done again. Where no other samples are left to confirm that, its gate is what
# the refuted one kept and what was missing.
_SEARCHES = 3

# A board measures SQNR on its own samples, where a metric decides too: what was found here is its gate, but for so much.
_BOARD_DB = 3.0

# To rank layers by the noise that each causes alone, which takes as many trials as there are layers.
_RANK_SAMPLES = 4


class Trials:
    """Tries sets of layers in float on one bench, each once: a second search asks for many again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._known: dict[frozenset[str], Trial] = {}

    def try_out(self, keep_float: frozenset[str], *, sqnr_db_min: float) -> Trial:
        """Return whether the model passes a gate, which only rises: one that failed a lower gate fails this one."""
        known = self._known.get(keep_float)
        if known is not None:
            return replace(known, passes=known.passes and known.low_db >= sqnr_db_min)
        self._known[keep_float] = self._bench.try_out(keep_float, sqnr_db_min=sqnr_db_min)
        return self._known[keep_float]

    def widen(self, other: Bench) -> None:
        """Go by the samples of another bench too; what surely failed without them stays as it was."""
        self._bench = self._bench.join(other)
        self._known = {layers: trial for layers, trial in self._known.items() if trial.surely}


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


def choose_kept(
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    keep: frozenset[str],
    times: Mapping[str, LayerTime],
    sqnr_db_min: float,
    start_steps: StartSteps,
    task: Task | None = None,
) -> Kept:
    """Return the layers that must stay in float by the task's metric, where there is one that can tell, else by SQNR."""
    reason: str | None = None
    if task is not None:
        try:
            return _keep_by_task(task, bench, others, plan, keep, times, sqnr_db_min, start_steps)
        except ProvesNothingError as error:
            reason = str(error)
    reasons = keep_accurate(bench, others, plan, keep, times, sqnr_db_min, start_steps)
    return Kept(reasons=reasons, accuracy=Accuracy(decides="sqnr", reason=reason))


def _keep_by_task(
    task: Task,
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    keep: frozenset[str],
    times: Mapping[str, LayerTime],
    sqnr_db_min: float,
    start_steps: StartSteps,
) -> Kept:
    """Return the layers that must stay in float for the metric to keep its gate; raises ProvesNothingError."""
    seen, unseen = open_parts(task, bench, others[0] if others else bench)
    layers = [name for name, sharing in plan.deciding_layers.items() if not keep.intersection(sharing)]
    search = find_guilty_layers(
        layers,
        lambda guilty: seen.try_out(keep | guilty, sqnr_db_min=sqnr_db_min),
        rank_sqnr_db=lambda guilty: bench.rank_sqnr_db(keep | guilty, samples=_RANK_SAMPLES),
        sqnr_db_min=None,
        costs={name: time.float_us - time.int8_us for name, time in times.items()},
        start_steps=start_steps,
    )
    found = keep | frozenset(search.keep_float)
    sqnr, drop = unseen.measure_sqnr(found, sqnr_db_min=sqnr_db_min), unseen.measure_drop(found)
    if not (sqnr.passes and unseen.allows(drop)):
        raise ProvesNothingError(
            f"samples that the search by {task.scoring.name} did not see do not confirm what it found: SQNR "
            f"{sqnr.low_db:.1f} dB, {task.scoring.name} drop {_write_drop(task, drop.upper)} at most, of "
            f"{_write_drop(task, unseen.drop_max)} allowed"
        )
    return Kept(
        reasons={
            name: f"spoils the {task.scoring.name}: alone in int8 it leaves {search.alone_db[name]:.1f} dB of SQNR"
            for name in search.keep_float
        },
        accuracy=Accuracy(
            decides=task.accuracy,
            samples=drop.samples,
            drop=drop.drop,
            drop_upper=drop.upper,
            drop_max=unseen.drop_max,
            sqnr_db_min=min(sqnr_db_min, max(LEAST_SQNR_DB, sqnr.low_db - _BOARD_DB)),
        ),
    )


def _write_drop(task: Task, drop: float | None) -> str:
    return "unknown" if drop is None else write_difference(drop, task.scoring.scale.unit)


def keep_accurate(
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    keep: frozenset[str],
    times: Mapping[str, LayerTime],
    sqnr_db_min: float,
    start_steps: StartSteps,
) -> dict[str, str]:
    """Return the layers that must stay in float for every output to keep its SQNR, each with the reason.

    The bench searches; the first of the others confirms, by its own lower bound, because a search flatters itself on the
    samples that it chose by. Confirmed by their SQNR alone, models at the gate missed it on a third set by up to 1.1 dB
    (docs/wild.md). Where it is refuted, another search adds layers to those that it found, with the samples that refuted it,
    and the next of the others confirms; with a stricter gate where there is none.
    """
    layers = [name for name, sharing in plan.deciding_layers.items() if not keep.intersection(sharing)]
    if not layers:
        return {}
    trials, unseen, gate_db = Trials(bench), list(others), sqnr_db_min
    found, alone_db = keep, dict[str, float]()
    for _ in range(_SEARCHES):
        search = find_guilty_layers(
            [layer for layer in layers if layer not in found],
            lambda guilty: trials.try_out(found | guilty, sqnr_db_min=gate_db),  # noqa: B023 - called in this round alone
            rank_sqnr_db=lambda guilty: bench.rank_sqnr_db(found | guilty, samples=_RANK_SAMPLES),  # noqa: B023
            known_db=alone_db,
            sqnr_db_min=gate_db,
            costs={name: time.float_us - time.int8_us for name, time in times.items()},
            start_steps=start_steps,
        )
        found, alone_db = found | frozenset(search.keep_float), {**alone_db, **search.alone_db}
        missing_db = sqnr_db_min - unseen[0].measure_sqnr_db(found) if unseen else 0.0
        if missing_db <= 0:
            break
        if len(unseen) > 1:
            trials.widen(unseen.pop(0))
        else:
            gate_db = trials.try_out(found, sqnr_db_min=gate_db).low_db + missing_db
    return {
        name: f"spoils an output: alone in int8 it leaves {alone_db[name]:.1f} dB of SQNR"
        for name in layers
        if name in found
    }
