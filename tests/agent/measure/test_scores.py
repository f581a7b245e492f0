import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.scores import read_labelled_scores, view_scores
from toolchain.agent.measure.targets import Ragged


@pytest.mark.parametrize(("shape", "expected"), [((2, 5), (2, 5)), ((2, 5, 1, 1), (2, 5)), ((0, 5), (0, 5))])
def test_rows_of_classes_are_scores(shape, expected):
    assert view_scores(np.zeros(shape)).shape == expected


@pytest.mark.parametrize("shape", [(), (5,), (2, 0), (2, 5, 2, 1)])
def test_other_shapes_are_none(shape):
    assert view_scores(np.zeros(shape)) is None


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        ({}, {"labels": np.zeros(2, int)}),
        ({"y": np.zeros((2, 3))}, {}),
        ({"y": np.zeros((2, 3))}, {"labels": np.zeros(3, int)}),
        ({"y": np.zeros((2, 3), complex)}, {"labels": np.zeros(2, int)}),
        ({"y": np.zeros((2, 3))}, {"labels": Ragged(values=np.zeros(2, int), offsets=np.arange(3))}),
    ],
)
def test_what_does_not_belong_together_is_refused_in_the_name_of_the_metric(outputs, targets):
    with pytest.raises(ToolchainError, match="f1 ") as caught:
        read_labelled_scores("f1", outputs, targets)
    assert caught.value.code is ExitCode.MALFORMED
    assert caught.value.fix


def test_scores_with_a_label_each_are_read():
    scores, labels = read_labelled_scores("f1", {"y": np.zeros((2, 3))}, {"labels": np.array([0, 2])})
    assert (scores.shape, labels.tolist()) == ((2, 3), [0, 2])
