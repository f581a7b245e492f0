"""Trials that the task's metric decides, on labelled samples that calibration, the search by SQNR and the board never see.

What such a trial must not let through: a metric that an answer which never looks at its sample would keep as well; too few
samples to tell a drop of the gate's size from none; outputs that the metric does not read. Where any of the first two
holds, SQNR decides, and lowering.json says why; outputs that the metric does not read keep their SQNR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolchain.agent.manifest import TRUTH_FLOAT, TRUTH_LABELS
from toolchain.agent.measure.bootstrap import Drop, estimate_drop
from toolchain.agent.measure.gates.metric import choose_drop_max
from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.quantities import write_difference
from toolchain.agent.measure.scoring import Scoring, ScoringTally
from toolchain.agent.measure.targets import slice_target
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.trial import Arrays, Bench, Trial

LEAST_SQNR_DB = 3.0
"""No output may have less, whatever the metric says: half of its power is left (agent/measure/gates/drift.py)."""

# Samples whose answers all others are given, to see whether a constant passes.
_CONSTANTS = 8


class ProvesNothingError(Exception):
    """Why the metric on these samples can decide nothing; SQNR decides then."""


@dataclass(frozen=True)
class Task:
    """How a model is scored, and samples held out for it."""

    accuracy: str
    """"metric", or "agreement": the targets are what the float model answers."""
    scoring: Scoring
    feeds: Sequence[Arrays]
    targets: Targets
    """Of the feeds, in their order; nothing where the float model's answers are taken."""
    drop_max: float | None
    """The recipe's; None is the gate's default."""
    answer: Callable[[Targets], Targets] | None = None
    """From what the metric reads of a sample to the targets that it stands for, where the float model's answers are taken."""
    problem: str | None = None
    """Why these samples prove nothing, where that is known before."""

    @property
    def truth(self) -> str:
        """What the targets are, as a manifest says it."""
        return TRUTH_LABELS if self.answer is None else TRUTH_FLOAT

    def take_targets(self, index: int, outputs: Arrays, feed: Arrays) -> Targets:
        """Return the targets of one sample, of which the float model returned these outputs."""
        if self.answer is not None:
            return self.answer(self.scoring.decode(outputs, feed))
        return {name: slice_target(target, index, index + 1) for name, target in self.targets.items()}


@dataclass(frozen=True)
class TaskBench:
    """A part of a task's samples, and how the float model does on them."""

    task: Task
    bench: Bench
    feeds: Sequence[Arrays]
    targets: Sequence[Targets]
    reference: ScoringTally
    drop_max: float

    def measure_drop(self, keep_float: frozenset[str]) -> Drop:
        """Return the drop of the metric with these layers in float, and its bounds."""
        tally = self.task.scoring.start()
        for feed, targets, outputs in zip(
            self.feeds, self.targets, self.bench.run(keep_float, self.feeds), strict=True
        ):
            tally.add(outputs, targets, feed)
        try:
            return estimate_drop(self.reference.metric, tally.metric, self.task.scoring.scale)
        except ToolchainError as error:
            if error.code not in (ExitCode.METRIC, ExitCode.INVALID):
                raise
            return Drop(drop=math.inf, lower=None, upper=None, samples=tally.metric.samples, note=error.what)

    def allows(self, drop: Drop) -> bool:
        """Return whether a drop is surely within the gate."""
        return drop.upper is not None and drop.upper <= self.drop_max

    def try_out(self, keep_float: frozenset[str], *, sqnr_db_min: float) -> Trial:
        """Return whether the metric surely keeps its gate with these layers in float, and what it does not read its SQNR."""
        found = self.measure_sqnr(keep_float, sqnr_db_min=sqnr_db_min)
        return Trial(passes=found.passes and self.allows(self.measure_drop(keep_float)), low_db=found.low_db)

    def measure_sqnr(self, keep_float: frozenset[str], *, sqnr_db_min: float) -> Trial:
        """Return what the outputs that the metric reads surely keep, in dB, and whether that and the others' is enough."""
        estimates = self.bench.measure_outputs_db(keep_float)
        read = self.task.scoring.list_read(list(estimates))
        limits = {name: LEAST_SQNR_DB if name in read else sqnr_db_min for name in estimates}
        passes = all(estimates[name].low_db >= limit for name, limit in limits.items())
        return Trial(passes=passes, low_db=min(estimates[name].low_db for name in read))


def open_parts(task: Task, bench: Bench, other: Bench) -> tuple[TaskBench, TaskBench]:
    """Return the half that searches, with the bench's SQNR, and the half that confirms, with the other's.

    Raises ProvesNothingError with the reason where the metric cannot tell a good model from a bad one on these samples.
    """
    if task.problem is not None:
        raise ProvesNothingError(task.problem)
    half = len(task.feeds) // 2
    if half == 0:
        raise ProvesNothingError("there are no samples beside those that calibrate")
    return _open_part(task, bench, range(half)), _open_part(task, other, range(half, 2 * half))


def _open_part(task: Task, bench: Bench, indices: range) -> TaskBench:
    scoring, feeds = task.scoring, task.feeds[indices.start : indices.stop]
    constants = list(zip(bench.run_float(feeds[:_CONSTANTS]), feeds[:_CONSTANTS], strict=True))
    reference, shifted = scoring.start(), scoring.start()
    blind = [scoring.start() for _ in constants]
    targets: list[Targets] = []
    before = constants[-1]
    for index, feed, outputs in zip(indices, feeds, bench.run_float(feeds), strict=True):
        own = task.take_targets(index, outputs, feed)
        targets.append(own)
        reference.add(outputs, own, feed)
        for tally, (answer, source) in zip([shifted, *blind], [before, *constants], strict=True):
            tally.add(answer, own, source)
        before = outputs, feed
    drop_max = _check_resolution(task, reference)
    _check_blindness(scoring, reference, [shifted, *blind], drop_max)
    return TaskBench(task, bench, feeds, targets, reference, drop_max)


def _check_resolution(task: Task, reference: ScoringTally) -> float:
    """Return how much the metric may drop, where so many samples can tell that from no drop at all."""
    scoring, samples = task.scoring, reference.metric.samples
    try:
        drop_max = choose_drop_max(scoring.scale, task.drop_max, reference.compute(), task.truth)
        best = estimate_drop(reference.metric, reference.metric, scoring.scale)
    except ToolchainError as error:
        raise ProvesNothingError(f"{scoring.name} proves nothing on {samples} samples: {error.what}") from error
    if best.upper is None:
        raise ProvesNothingError(best.note or f"{scoring.name} has no interval")
    if not best.upper <= drop_max:
        unit = scoring.scale.unit
        raise ProvesNothingError(
            f"{samples} samples are too few: of a model that answers as float does {scoring.name} drops by up to "
            f"{write_difference(best.upper, unit)} with 99 %, and {write_difference(drop_max, unit)} are allowed"
        )
    return drop_max


def _check_blindness(scoring: Scoring, reference: ScoringTally, blind: Sequence[ScoringTally], drop_max: float) -> None:
    """Refuse a metric that answers which never look at their sample would keep: those of other samples, and constants."""
    drops = [_measure_blind(scoring, reference, tally) for tally in blind]
    known = [(drop, index) for index, drop in enumerate(drops) if drop is not None]
    if not known:
        return
    worst = blind[min(known)[1]]
    try:
        bounds = estimate_drop(reference.metric, worst.metric, scoring.scale)
    except ToolchainError as error:
        raise ProvesNothingError(f"{scoring.name} cannot refuse the answers of other samples: {error.what}") from error
    if bounds.lower is None or not bounds.lower > drop_max:
        unit = scoring.scale.unit
        raise ProvesNothingError(
            f"answers that never look at their sample drop {scoring.name} by {write_difference(bounds.drop, unit)}, and "
            f"{write_difference(drop_max, unit)} are allowed: it cannot tell a model from a constant"
        )


def _measure_blind(scoring: Scoring, reference: ScoringTally, tally: ScoringTally) -> float | None:
    """Return the drop of answers that do not look; None where the metric refuses them."""
    try:
        return scoring.scale.measure_drop(reference.compute(), tally.compute())
    except ToolchainError as error:
        if error.code != ExitCode.METRIC:
            raise ProvesNothingError(
                f"{scoring.name} cannot judge the answers of other samples: {error.what}"
            ) from error
        return None
