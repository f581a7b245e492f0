import math
from types import SimpleNamespace

import numpy as np
import pytest

from toolchain.agent.measure.metrics import find_metric
from toolchain.data import chance as chance_module
from toolchain.data.chance import compute_luck, judge_float_model, measure_chance
from toolchain.errors import ExitCode, ToolchainError

TOP1 = find_metric("top1")


def find_chance(labels):
    return measure_chance(TOP1, labels, int(labels.max()) + 1)


def judge(labels, answers):
    """Return the warnings about a model that gives these answers, or "refused"."""
    try:
        return judge_float_model(
            lambda index: answers[index] == labels[index], labels, chance=find_chance(labels), where="here"
        )
    except ToolchainError as error:
        return "refused" if error.code is ExitCode.USAGE and "not better than chance" in error.what else error


def answer(labels, accuracy, classes, seed=0):
    """Return answers of which this share is right, and the others are the next class."""
    wrong = np.random.default_rng(seed).permutation(len(labels)) >= round(accuracy * len(labels))
    return np.where(wrong, (labels + 1) % classes, labels)


@pytest.mark.parametrize(("hits", "samples", "chance"), [(0, 5, 0.3), (3, 5, 0.3), (5, 5, 0.3), (40, 200, 0.1)])
def test_luck_is_the_upper_tail_of_the_binomial(hits, samples, chance):
    tail = sum(
        math.comb(samples, count) * chance**count * (1 - chance) ** (samples - count)
        for count in range(hits, samples + 1)
    )
    assert compute_luck(hits, samples, chance) == pytest.approx(tail, rel=1e-9)


def test_chance_is_the_best_constant_answer_and_never_below_a_guess():
    assert measure_chance(TOP1, np.array([0, 1, 2, 3]), 4) == 0.25
    assert measure_chance(TOP1, np.array([0, 0, 0, 3]), 4) == 0.75
    assert measure_chance(TOP1, np.array([0, 0, 0, 3]), 1000) == 0.75


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("seed", range(5))
def test_a_random_model_on_1000_samples_is_refused(classes, seed):
    labels = np.arange(1000) % classes
    assert judge(labels, np.random.default_rng(seed).integers(0, classes, 1000)) == "refused"


@pytest.mark.parametrize("labels", [np.arange(1000) % 10, np.arange(64) % 4, np.repeat([0, 1], [900, 100])])
def test_a_constant_answer_is_refused_whatever_the_labels(labels):
    for constant in range(2):
        assert judge(labels, np.full(len(labels), constant)) == "refused"


def test_answers_that_are_wrong_on_purpose_are_refused():
    labels = np.arange(1000) % 10
    assert judge(labels, (labels + 1) % 10) == "refused"


@pytest.mark.parametrize(("classes", "accuracy"), [(2, 0.85), (4, 0.7), (10, 0.6)])
def test_a_good_model_on_20_samples_passes(classes, accuracy):
    labels = np.arange(20) % classes
    assert judge(labels, answer(labels, accuracy, classes)) == []


def test_labels_that_lie_sorted_by_class_are_judged_as_mixed_ones():
    labels = np.repeat(np.arange(100), 100)
    assert judge(labels, answer(labels, 0.5, 100)) == []
    assert judge(labels, np.zeros(10_000, dtype=int)) == "refused"


def test_a_model_below_the_majority_is_refused_because_a_constant_payload_would_pass():
    labels = np.repeat([0, 1], [900, 100])
    assert judge(labels, answer(labels, 0.85, 2)) == "refused"
    assert judge(labels, answer(labels, 0.97, 2)) == []


def test_labels_of_one_class_are_refused():
    assert judge(np.full(50, 3), np.full(50, 3)) == "refused"


def test_too_few_samples_to_tell_are_said_where_the_model_is_right():
    labels = np.arange(4) % 2
    (warning,) = judge(labels, labels)
    assert "4 evaluation samples are too few" in warning
    assert judge(labels, 1 - labels) == "refused"


def test_a_good_model_is_asked_for_few_samples():
    asked = []
    labels = np.arange(10_000) % 10

    def is_right(index):
        asked.append(index)
        return True

    assert judge_float_model(is_right, labels, chance=0.1, where="here") == []
    assert len(asked) == 64


def test_a_metric_that_names_its_output_has_a_chance_too():
    top1 = find_metric("top1")

    class Named:
        SCALE, OUTPUTS, TARGETS = top1.SCALE, ("logits",), top1.TARGETS

        def start(self):
            tally = top1.start()
            return SimpleNamespace(
                add=lambda outputs, targets: tally.add({"": outputs["logits"]}, targets), compute=tally.compute
            )

    labels = np.array([0, 0, 0, 1])
    assert measure_chance(Named(), labels, 4) == measure_chance(top1, labels, 4) == 0.75


def test_the_chance_of_class_labels_is_known_and_of_nothing_else():
    labels = np.array([0, 0, 0, 1, 2, 2])
    assert chance_module.find_chance(TOP1, {"labels": labels}) == 0.5
    assert chance_module.find_chance(find_metric("rmse"), {"values": np.zeros((6, 1))}) is None
    assert chance_module.find_chance(TOP1, {}) is None
