import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.parts import expect_array, expect_equal_rows, expect_ragged, expect_samples, make_ragged
from toolchain.agent.measure.targets import Ragged

BOXES = Ragged(values=np.zeros((3, 4)), offsets=np.array([0, 1, 3]))


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code is ExitCode.MALFORMED
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.fix


def test_what_fits_is_returned():
    array = np.zeros((2, 4))
    assert expect_array("x", array, "boxes", (None, 4), "f") is array
    assert expect_ragged("x", BOXES, "boxes", (None, 4), "f") is BOXES
    expect_equal_rows("x", BOXES, BOXES, "boxes")
    expect_samples("x", BOXES, 2, "boxes")


@pytest.mark.parametrize("rows", [BOXES, np.zeros((2, 5)), np.zeros((2, 4, 1)), np.zeros((2, 4), int), np.zeros(())])
def test_an_array_of_another_shape_or_type_is_refused(rows):
    refuse(lambda: expect_array("x", rows, "boxes", (None, 4), "f"))


@pytest.mark.parametrize("rows", [np.zeros((2, 4)), Ragged(values=np.zeros((3, 5)), offsets=np.array([0, 1, 3]))])
def test_rows_of_another_shape_are_refused(rows):
    refuse(lambda: expect_ragged("x", rows, "boxes", (None, 4), "f"))


def test_rows_of_other_samples_are_refused():
    other = Ragged(values=np.zeros(3), offsets=np.array([0, 2, 3]))
    refuse(lambda: expect_equal_rows("x", BOXES, other, "scores"))
    refuse(lambda: expect_samples("x", BOXES, 3, "boxes"))


def test_an_array_is_as_many_rows_in_each_sample():
    ragged = make_ragged(np.arange(6).reshape(2, 3))
    assert (ragged.offsets.tolist(), ragged.read(1).tolist()) == ([0, 3, 6], [3, 4, 5])
    assert make_ragged(BOXES) is BOXES
