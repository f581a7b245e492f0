"""Targets of an evaluation that no model can be measured by: each is named by its sample, all are counted."""

import numpy as np
import pytest

from toolchain.agent.measure.targets import Ragged
from toolchain.data.npz import ArraySamples
from toolchain.data.target_faults import Answers, refuse_faulty_targets
from toolchain.errors import ExitCode, ToolchainError

COUNT = 4


def ragged(rows):
    return Ragged(values=np.concatenate(rows), offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64))


def texts(*words):
    return {"text": ragged([np.frombuffer(word, np.uint8) for word in words])}


def boxes(*corners, classes=(0, 1, 0, 1), crowd=(0, 0, 0, 0)):
    """Return a box in each sample, of which the last are as given."""
    rows = [[2, 2, 8, 8]] * (COUNT - len(corners)) + [list(box) for box in corners]
    return {
        "boxes": ragged([np.array([row], np.float32) for row in rows]),
        "classes": ragged([np.array([number]) for number in classes]),
        "crowd": ragged([np.array([flag]) for flag in crowd]),
    }


def examine(targets, *, classes=2, letters="abc", count=COUNT):
    samples = ArraySamples(arrays={"x": np.zeros((COUNT, 3))}, targets=targets, sha256="")
    answers = Answers(classes=classes, letters=letters, ignored=255)
    refuse_faulty_targets(samples, list(targets), count, answers=answers, where="the data")


MASK = np.array([0, 1, 255, 0])[:, None, None] * np.ones((1, 2, 2), int)
TAGS = np.array([[0, 1, -100]] * COUNT)
SETS = np.array([[0, 1]] * COUNT)
VALUES = np.ones((COUNT, 2), np.float32)
NAN = np.float32("nan")
POINTS = np.ones((COUNT, 2, 3), np.float32)


def changed(array, row, value):
    array = array.copy()
    array[row] = value
    return array


@pytest.mark.parametrize(
    "targets",
    [
        boxes(),
        boxes(crowd=(0, 1, 1, 1)),
        {"mask": MASK},
        {"mask": MASK.astype(np.uint8)},
        {"tags": TAGS},
        {"labels": np.array([0, 1, 0, 1])},
        {"labels": SETS},
        {"values": VALUES},
        {"values": VALUES.astype(int)},
        {"anomalous": np.array([0, 1, 0, 0])},
        {"identity": np.array([9, 9, 7, 7])},
        {"points": POINTS},
        {"points": changed(POINTS, (2, 1), (NAN, NAN, 0))},
        {"points": ragged([*POINTS[:3, None], POINTS[:0]])},
        texts(b"a", b"", b"cab", b"b"),
    ],
)
def test_targets_that_a_model_can_answer_are_taken(targets):
    examine(targets)


@pytest.mark.parametrize(
    ("targets", "what", "found"),
    [
        (boxes(classes=(0, 2, 5, -1)), "a class that is none of the model's (3)", "sample 1, box 0: 2"),
        (boxes((2, 2, NAN, 8)), "a target that is no number (1)", "sample 3, box 0"),
        (boxes((2, 2, np.inf, 8)), "a target that is no number (1)", "sample 3, box 0"),
        (boxes((2, 2, 2, 8), (8, 2, 2, 8)), "a box without an area (2)", "sample 2, box 0"),
        (boxes(crowd=(1, 1, 1, 1)), "no sample has a box that is no crowd", "none"),
        ({"classes": ragged([np.zeros(0, int)] * COUNT)}, "no sample has a box that is no crowd", "none"),
        ({"mask": changed(MASK, 1, 2)}, "a class that is none of the model's (1)", "sample 1: 2, in 4 places"),
        ({"mask": changed(MASK, 1, -100)}, "a class that is none of the model's (1)", "sample 1: -100, in 4 places"),
        ({"mask": MASK * 0 + 255}, "no sample has a place with a class", "none"),
        ({"mask": MASK * 0}, "no sample has a place of a second class", "none"),
        ({"tags": changed(TAGS, 3, 2)}, "a class that is none of the model's (1)", "sample 3: 2, in 3 tokens"),
        ({"tags": TAGS * 0 - 100}, "no sample has a token with a class", "none"),
        ({"labels": np.array([0, 1, 2, -1])}, "a class that is none of the model's (2)", "sample 2: 2"),
        ({"labels": changed(SETS, 2, 3)}, "a flag that is neither 0 nor 1 (1)", "sample 2: [3, 3]"),
        ({"labels": SETS * 0}, "no sample has a class", "none"),
        ({"values": changed(VALUES, 2, NAN)}, "a target that is no number (1)", "sample 2"),
        ({"anomalous": np.array([0, 1, 2, 0])}, "a flag that is neither 0 nor 1 (1)", "sample 2: [2]"),
        ({"anomalous": np.zeros(COUNT, int)}, "no sample has a 1 as anomalous", "none"),
        ({"anomalous": np.ones(COUNT, int)}, "no sample has a 0 as anomalous", "none"),
        ({"identity": np.arange(COUNT)}, "no sample has a second one of its identity", "none"),
        ({"points": changed(POINTS, (2, 0, 0), NAN)}, "a target that is no number (1)", "sample 2: NaN"),
        (
            {"points": ragged([*POINTS[:3, None], POINTS[:1] * NAN])},
            "a target that is no number (1)",
            "sample 3: NaN",
        ),
        (texts(b"a", b"cd", b"x", b"b"), "a letter that the alphabet lacks (2)", "sample 1: 'd' in 'cd'"),
        (texts(b"a", b"\xff", b"a", b"b"), "a text that is no UTF-8 (1)", "sample 1"),
        (texts(b"", b"", b"", b""), "no sample has a text of one letter or more", "none"),
    ],
)
def test_a_target_that_is_none_is_refused_by_its_sample(targets, what, found):
    with pytest.raises(ToolchainError) as caught:
        examine(targets)
    assert caught.value.code is ExitCode.USAGE
    assert what in caught.value.what
    assert found in caught.value.found
    assert caught.value.fix


@pytest.mark.parametrize(("shape", "fits"), [((2, 2), True), ((1, 2, 2), True), ((2, 4), False), ((4, 4), False)])
def test_targets_of_another_size_than_the_answers_are_refused(shape, fits):
    samples = ArraySamples(arrays={"x": np.zeros((COUNT, 3))}, targets={"mask": MASK}, sha256="")
    answers = Answers(classes=2, letters=None, ignored=255, shapes={"mask": shape})
    if fits:
        refuse_faulty_targets(samples, ["mask"], COUNT, answers=answers, where="the data")
        return
    with pytest.raises(ToolchainError, match="another size") as caught:
        refuse_faulty_targets(samples, ["mask"], COUNT, answers=answers, where="the data")
    assert (caught.value.code, caught.value.found) == (ExitCode.USAGE, "shape (2, 2)")


def test_samples_that_are_not_used_are_not_examined():
    examine(boxes((2, 2, 2, 8)), count=COUNT - 1)
    examine({"labels": np.array([0, 1, 0, 7])}, count=COUNT - 1)
    examine(texts(b"a", b"b", b"a", b"\xff"), count=COUNT - 1)


def test_where_nobody_knows_how_many_classes_there_are_only_negative_ones_are_refused():
    examine(boxes(classes=(0, 7, 80, 1)), classes=None, letters=None)
    examine(texts(b"z", b"", b"", b""), classes=None, letters=None)
    with pytest.raises(ToolchainError):
        examine(boxes(classes=(0, 7, 80, -1)), classes=None)
