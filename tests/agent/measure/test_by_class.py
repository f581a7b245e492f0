"""The metric class by class: exactly what it is of the samples of each class."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.agent.measure.by_class import CLASSES_MAX, list_class_scores
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged


def tally(name, outputs, targets, options=None):
    made = find_metric(name, options).start()
    made.add(outputs, targets)
    return made


LABELS = np.array([0, 0, 0, 5, 5])
RIGHT = np.eye(6, dtype=np.float32)[LABELS]
HALF = np.eye(6, dtype=np.float32)[[0, 1, 1, 5, 5]]


@pytest.mark.parametrize("name", ["top1", "top5"])
def test_a_class_is_scored_by_its_own_samples(name):
    targets = {"labels": LABELS}
    found = list_class_scores(tally(name, {"y": RIGHT}, targets), tally(name, {"y": HALF}, targets))
    assert [score.number for score in found] == [0, 5]
    assert [score.reference for score in found] == [1.0, 1.0]
    if name == "top1":
        assert [score.deployed for score in found] == [pytest.approx(1 / 3), 1.0]


def test_the_mean_of_f1_is_that_of_its_classes():
    made = tally("f1", {"y": HALF}, {"labels": LABELS}, {})
    scores = made.compute_by_class()
    assert set(scores) == {0, 1, 5}
    assert np.mean(list(scores.values())) == pytest.approx(made.compute())


def test_the_mean_of_average_precision_is_that_of_its_classes():
    boxes = np.float32([[0, 0, 4, 4], [0, 0, 4, 4]])
    offsets = np.array([0, 2])
    truth = {"boxes": Ragged(boxes, offsets), "classes": Ragged(np.array([3, 9]), offsets)}
    found = {"boxes": Ragged(boxes, offsets), "classes": Ragged(np.array([3, 1]), offsets)}
    found["scores"] = Ragged(np.float32([0.9, 0.8]), offsets)
    made = tally("map50", found, truth)
    assert made.compute_by_class() == {3: pytest.approx(1.0), 9: 0.0}
    assert made.compute() == pytest.approx(0.5)


def test_a_metric_without_classes_has_none_and_one_that_breaks_says_nothing():
    numbers = np.float32([[1.0], [2.0]])
    plain = tally("mae", {"y": numbers}, {"values": numbers}) if "values" in find_metric("mae").TARGETS else None
    empty = find_metric("f1", {}).start()
    assert list_class_scores(empty, empty) == ()
    assert plain is None or plain.compute_by_class() == {}


def test_of_too_many_classes_those_that_changed_the_most_are_told():
    labels = np.arange(CLASSES_MAX + 5)
    right = np.eye(len(labels), dtype=np.float32)
    wrong = right.copy()
    wrong[-1] = right[0]
    found = list_class_scores(*(tally("top1", {"y": scores}, {"labels": labels}) for scores in (right, wrong)))
    assert len(found) == CLASSES_MAX
    assert found[-1].number == labels[-1]
