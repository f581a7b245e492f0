import numpy as np
import pytest

from toolchain.agent.manifest import TensorSpec
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.feeds import check_feeds

INPUTS = (
    TensorSpec(name="image", dtype="float32", shape=(None, 3, 8, 8)),
    TensorSpec(name="scale", dtype="int64", shape=()),
)
FEEDS = {"image": np.zeros((2, 3, 8, 8), np.float32), "scale": np.array(1)}


def refuse(arrays):
    with pytest.raises(ToolchainError) as caught:
        check_feeds(INPUTS, arrays, where="batch 4")
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, "batch 4")
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("samples", [0, 1, 7])
def test_arrays_of_any_length_along_a_free_axis_fit(samples):
    check_feeds(INPUTS, FEEDS | {"image": np.zeros((samples, 3, 8, 8), np.float32)})


@pytest.mark.parametrize(
    ("change", "what", "expected", "found"),
    [
        ({"image": np.zeros((2, 3, 8, 8))}, "input image has the wrong dtype", "float32", "float64"),
        ({"scale": np.array(1, np.int32)}, "input scale has the wrong dtype", "int64", "int32"),
        ({"image": np.zeros((2, 3, 8, 9), np.float32)}, "input image has the wrong shape", "(any, 3, 8, 8)", "8, 9)"),
        ({"image": np.zeros((3, 8, 8), np.float32)}, "input image has the wrong shape", "(any, 3, 8, 8)", "(3, 8, 8)"),
        ({"scale": np.array([1])}, "input scale has the wrong shape", "()", "(1,)"),
        ({"mask": np.zeros(1)}, "nothing reads mask", "image, scale", "image, mask, scale"),
    ],
)
def test_an_array_that_does_not_fit_is_refused_with_what_was_expected(change, what, expected, found):
    error = refuse(FEEDS | change)
    assert what in error.what
    assert error.expected == expected
    assert found in error.found


def test_every_input_without_an_array_is_named():
    error = refuse({})
    assert "there is none for image, scale" in error.what
    assert error.found == "none"
