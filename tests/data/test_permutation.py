"""A model that has learnt nothing of its inputs is refused, whatever its task."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.agent.manifest import MetricSpec
from toolchain.agent.measure.scoring import find_scoring
from toolchain.agent.measure.targets import Ragged
from toolchain.data.permutation import judge_by_permutation
from toolchain.errors import ExitCode, ToolchainError

GENERATOR = np.random.default_rng(0)
SAMPLES = 60


def draw_boxes():
    """Return a box a sample, somewhere."""
    corner = GENERATOR.uniform(0, 80, (SAMPLES, 2))
    boxes = np.concatenate([corner, corner + GENERATOR.uniform(8, 20, (SAMPLES, 2))], axis=1).astype(np.float32)
    offsets = np.arange(SAMPLES + 1)
    return {"boxes": Ragged(boxes, offsets), "classes": Ragged(np.zeros(SAMPLES, np.int64), offsets)}


def answer_boxes(boxes):
    def answer(index):
        row, offsets = boxes[index : index + 1], np.array([0, 1])
        made = {"boxes": row, "scores": np.ones(1, np.float32), "classes": np.zeros(1, np.int64)}
        return {}, {name: Ragged(array, offsets) for name, array in made.items()}

    return answer


MASKS = GENERATOR.integers(0, 3, (SAMPLES, 6, 6))
VALUES = GENERATOR.normal(size=(SAMPLES, 2)).astype(np.float32)
BOXES = draw_boxes()

# The metric, its targets, answers that are right, and answers that have nothing to do with the samples.
CASES = {
    "masks": (
        "miou",
        {"mask": MASKS},
        lambda index: ({}, {"mask": MASKS[index : index + 1]}),
        lambda index: ({}, {"mask": np.ones((1, 6, 6), np.int64)}),
    ),
    "numbers": (
        "mae",
        {"values": VALUES},
        lambda index: ({}, {"output": VALUES[index : index + 1] + 0.1}),
        lambda index: ({}, {"output": np.zeros((1, 2), np.float32)}),
    ),
    "boxes": (
        "map50",
        BOXES,
        answer_boxes(BOXES["boxes"].values),
        answer_boxes(np.tile(np.float32([200, 200, 210, 210]), (SAMPLES, 1))),
    ),
}


def judge(metric, targets, answer, drop_max=None):
    scoring = find_scoring(MetricSpec(name=metric, reference=None))
    return judge_by_permutation(scoring, answer, targets, drop_max=drop_max, where="data")


@pytest.mark.parametrize("case", CASES)
def test_answers_that_fit_their_samples_pass(case):
    metric, targets, right, _ = CASES[case]
    assert judge(metric, targets, right) == []


@pytest.mark.parametrize("case", CASES)
def test_answers_that_have_nothing_to_do_with_the_samples_are_refused(case):
    metric, targets, _, constant = CASES[case]
    with pytest.raises(ToolchainError) as caught:
        judge(metric, targets, constant)
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, "data")
    assert "not better than chance" in caught.value.what


def test_too_few_samples_to_tell_are_said():
    few = {"mask": MASKS[:3]}
    (warning,) = judge("miou", few, lambda index: ({}, {"mask": MASKS[index : index + 1]}))
    assert "3 evaluation samples are too few" in warning


def test_a_default_gate_that_answers_to_other_samples_pass_is_refused_and_one_of_the_recipes_own_is_not():
    """As where a model answers in kilometres and the targets are metres: it is right, and a hundredth of its error is more."""

    def answer(index):
        return {}, {"output": VALUES[index : index + 1] / 1000}

    with pytest.raises(ToolchainError) as caught:
        judge("mae", {"values": VALUES}, answer)
    assert caught.value.code == ExitCode.USAGE
    assert "the gate on the metric proves nothing" in caught.value.what
    assert "gates.metric_drop_max" in caught.value.fix
    (warning,) = judge("mae", {"values": VALUES}, answer, drop_max=1e-6)
    assert "too few to tell" in warning


def draw_guesses(samples, lead):
    """Return class sets of so many samples, and answers that are right in this share more than a guess is."""
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, (samples, 3))
    told = np.where(generator.random((samples, 3)) < lead, labels, generator.integers(0, 2, (samples, 3)))
    return {"labels": labels}, lambda index: ({}, {"output": told[index : index + 1].astype(np.float32)})


def test_of_many_samples_answers_that_cannot_be_told_from_those_to_others_are_refused():
    """As where the columns of class sets are mixed up: 256 of them are not too few, and 2,000 of them tell."""
    guessed = draw_guesses(300, 0.0)
    with pytest.raises(ToolchainError, match="not better than chance"):
        judge("f1", *guessed)
    assert judge("f1", *draw_guesses(300, 0.5)) == []
    assert judge("f1", *draw_guesses(2000, 0.16)) == []
