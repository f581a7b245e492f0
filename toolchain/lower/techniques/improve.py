"""Better numbers before fewer layers: what makes the int8 model nearer to the float model, tried before any layer is given up.

Each technique learns on samples of the calibration set and is judged on others, by what the worst output surely keeps;
what gains nothing there is left out, so that none can make a model worse on what it was judged by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolchain.errors import ToolchainError
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.policy import Int8Policy
from toolchain.lower.ranges import TensorRange
from toolchain.lower.request import StartSteps
from toolchain.lower.safe_scales import SAFE_BITS
from toolchain.lower.techniques.bias_correction import correct_in_one_pass, correct_sequentially
from toolchain.lower.techniques.output_regression import regress_outputs
from toolchain.lower.techniques.subject import Subject
from toolchain.lower.trial import Arrays, Bench

Improve = Callable[[Subject, Adjustment], Adjustment]
"""Given no adjustment, returns the one to be judged; the same where there is nothing to do."""

# The first that gains is kept: the others do less of the same, and each costs as much as running the model.
TECHNIQUES: Mapping[str, Improve] = {
    "output_regression": regress_outputs,
    "bias_correction": correct_sequentially,
    "bias_correction_in_one_pass": correct_in_one_pass,
}

# A mean over so many samples is off by a sixth of what differs between them, which costs 0.13 dB where all of it does.
_LEARN_SAMPLES = 32


@dataclass(frozen=True)
class Technique:
    """What a technique is worth: the SQNR in dB that the worst output surely keeps with and without it, all in int8."""

    name: str
    sqnr_db_before: float
    sqnr_db_after: float
    kept: bool
    problem: str | None = None
    """Why it could not be tried."""


@dataclass(frozen=True)
class Improved:
    """What is changed about scales and biases, and what led there."""

    bench: Bench
    """It builds with the adjustment."""
    adjustment: Adjustment = field(default_factory=Adjustment)
    techniques: tuple[Technique, ...] = ()


def count_learners(samples: int) -> int:
    """Return how many of the last samples of a calibration set teach: a third at most, so that others can judge."""
    return min(_LEARN_SAMPLES, samples // 3)


def improve_numbers(
    bench: Bench,
    policy: Int8Policy,
    ranges: Mapping[str, TensorRange],
    feeds: Sequence[Arrays],
    keep_float: frozenset[str],
    *,
    enough_db: float,
    confirm: Sequence[Bench] = (),
    start_steps: StartSteps,
) -> Improved:
    """Return the adjustment that gains most, with a line for each technique that was tried.

    bench: on the first samples of feeds, building without an adjustment. enough_db: what surely keeps
    so much as it is, on the samples that confirm too, has no layer to win by it, and nothing is tried. A model that was trained for int8 stays
    as it was trained.
    """
    learners = count_learners(len(feeds))
    plan = policy.plan(bench.model, keep_float)
    if bench.trained is not None or not learners or not plan.weighted_layers:
        return Improved(bench)
    judges = min(len(bench.feeds), len(feeds) - learners)
    judging = bench
    if judges < len(bench.feeds):
        judging = replace(bench, feeds=bench.feeds[:judges], references=bench.references[:judges])
    subject = Subject(
        bench=judging,
        policy=policy,
        plan=plan,
        ranges=ranges,
        learning=feeds[len(feeds) - learners :],
        keep_float=keep_float,
    )
    advance = start_steps("improve the numbers of int8", 1)
    plain = Adjustment()
    plain_db = judging.measure_sqnr_db(keep_float)
    techniques = list(_compare_bits(subject, plain_db))
    improved = Improved(bench)
    keeps_enough = plain_db >= enough_db and all(
        other.try_out(keep_float, sqnr_db_min=enough_db).passes for other in confirm
    )
    for name, improve in () if keeps_enough else TECHNIQUES.items():
        try:
            found = improve(subject, plain)
        except ToolchainError as error:
            techniques.append(Technique(name, plain_db, plain_db, kept=False, problem=str(error)))
            continue
        if found is plain:
            continue
        adjusted = subject.adjust(found)
        found_db = adjusted.measure_sqnr_db(keep_float)
        techniques.append(Technique(name, plain_db, found_db, kept=found_db > plain_db))
        if found_db > plain_db:
            improved = Improved(adjusted if judging is bench else replace(bench, build=adjusted.build), found)
            break
    advance()
    return replace(improved, techniques=tuple(techniques))


def _compare_bits(subject: Subject, safe_db: float) -> Iterator[Technique]:
    """Yield what safe scales are worth against weights of 7 bits, where the CPU's products saturate."""
    scheme = subject.policy.scheme
    if scheme.saturates and scheme.weight_bits > SAFE_BITS:
        narrow = replace(subject.policy, scheme=replace(scheme, weight_bits=SAFE_BITS))
        yield Technique("safe_scales", replace(subject, policy=narrow).measure_db(Adjustment()), safe_db, kept=True)
