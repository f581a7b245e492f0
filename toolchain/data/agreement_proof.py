"""Whether agreement with a model proves anything: answers that are the same for every sample, another model gives too.

Of a model that never detects anything, or says one class of everything, a constant agrees wholly. So the gate has to refuse
the float model's own answers where they are given to other samples than their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolchain.agent.manifest import TRUTH_FLOAT
from toolchain.agent.measure.gates.metric import choose_drop_max
from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.quantities import write_value
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import LABELS, join_batches
from toolchain.errors import ExitCode, ToolchainError, usage

# As many as data/permutation.py asks.
_SAMPLES_MAX = 256
# Of so many samples each the answer is given to all.
_CONSTANTS = 4


def judge_own_answers(
    scoring: Scoring,
    read: Callable[[int], Targets],
    answer: Callable[[Targets], Targets],
    *,
    samples: int,
    drop_max: float | None,
    where: str,
) -> list[str]:
    """Refuse (exit 2) a float model whose answers are so much alike that those of other samples pass the gate; warn of nothing.

    Args:
        scoring: How it is scored.
        read: From the index of a sample to what the metric reads of the model, `(1, …)`.
        answer: From that to the targets that it stands for.
        samples: How many evaluation samples there are.
        drop_max: The recipe's limit; None is the default.
        where: The data, for messages.
    """
    chosen = np.random.default_rng(0).permutation(samples)[:_SAMPLES_MAX].tolist()
    found = [read(index) for index in chosen]
    answers = [answer(item) for item in found]
    order = list(range(len(chosen)))
    try:
        own = _measure(scoring, found, answers, order)
    except ToolchainError as error:
        if error.code != ExitCode.INVALID:
            raise
        raise _refuse(
            where, error.expected or "answers", error.found or "none", "has no answers to agree with"
        ) from error
    limit = choose_drop_max(scoring.scale, drop_max, own, TRUTH_FLOAT)
    if not limit > 0:
        raise usage(
            f"nobody can say by how much {scoring.name} may differ from the float model",
            where="gates.metric_drop_max",
            expected=f"a limit in the unit of {scoring.name}, above 0",
            found=f"none, and {write_value(own, scoring.scale.unit)} for the float model's own answers",
            fix="set gates.metric_drop_max",
        )
    others = [np.roll(order, 1).tolist(), *([index] * len(order) for index in _choose_constants(answers))]
    for other in others:
        value = _measure(scoring, [found[index] for index in other], answers, order)
        if scoring.scale.measure_drop(own, value) <= limit:
            unit = scoring.scale.unit
            text = f"{scoring.name} {write_value(value, unit)} for the answers of other samples, {write_value(own, unit)} for its own"
            raise _refuse(
                where, "answers that pass the gate for their own sample alone", text, "answers all samples alike"
            )
    return []


def _measure(scoring: Scoring, found: list[Targets], answers: list[Targets], order: list[int]) -> float:
    tally = scoring.start()
    for index in order:
        tally.metric.add(found[index], answers[index])
    return tally.compute()


def _choose_constants(answers: list[Targets]) -> list[int]:
    """Return samples whose answer all others are given: some of them, and of classes one of the most frequent."""
    chosen = list(range(min(_CONSTANTS, len(answers))))
    if LABELS in answers[0]:
        labels = np.asarray(join_batches(answers)[LABELS])
        rows, counts = np.unique(labels.reshape(len(labels), -1), axis=0, return_counts=True)
        same = (labels.reshape(len(labels), -1) == rows[counts.argmax()]).all(axis=1)
        chosen.append(int(same.argmax()))
    return chosen


def _refuse(where: str, expected: str, found: str, problem: str) -> ToolchainError:
    return usage(
        f"the float model {problem}: agreement with it proves nothing",
        where=where,
        expected=expected,
        found=found,
        fix="give samples that the model answers differently, check the preprocessing, or give labels and remove task.truth",
    )
