import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.outputs import (
    apply_sigmoid,
    apply_softmax,
    choose_largest,
    expect_samples_alike,
    list_first,
    read_output,
)

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6)


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def test_an_output_is_read_by_its_name_or_the_first():
    outputs = {"a": np.zeros((2, 3)), "b": np.ones((2, 4), np.float16)}
    assert read_output("x", outputs, None, (None, 3)).shape == (2, 3)
    assert read_output("x", outputs, "b", (None, None)).dtype == np.float32
    assert (list_first(["a", "b"], None), list_first(["a", "b"], "b")) == (["a"], ["b"])
    refuse(lambda: read_output("x", outputs, "c", (None, 3)))
    refuse(lambda: read_output("x", {}, None, (None, 3)))
    refuse(lambda: read_output("x", outputs, "b", (None, 3)))


def test_outputs_of_other_samples_are_refused():
    assert expect_samples_alike("x", {"a": np.zeros((2, 3)), "b": np.zeros(2)}) == 2
    refuse(lambda: expect_samples_alike("x", {"a": np.zeros((2, 3)), "b": np.zeros(3)}))


@given(NUMBERS)
def test_sigmoid_and_softmax_are_torchs(numbers):
    values = np.array([numbers], np.float32)
    np.testing.assert_allclose(
        apply_sigmoid(values), torch.sigmoid(torch.from_numpy(values)).numpy(), rtol=1e-5, atol=1e-37
    )
    np.testing.assert_allclose(
        apply_softmax(values, axis=1), torch.softmax(torch.from_numpy(values), dim=1).numpy(), atol=1e-6
    )


def test_of_equal_ones_the_first_is_the_largest_and_a_nan_is_none():
    assert choose_largest(np.array([[1.0, 1.0], [0.0, 2.0], [np.nan, 1.0]]), axis=1, broken=-1).tolist() == [0, 1, -1]
