"""Golden outputs of modules: each sample has a row of one shape."""

import numpy as np
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.stages.golden import check_rows


def test_an_output_whose_shape_differs_from_sample_to_sample_is_refused_by_its_name():
    outputs = [{"a": np.zeros((2, 3)), "b": np.zeros((2, 5))}, {"a": np.zeros((1, 3)), "b": np.zeros((1, 4))}]
    batches = [({}, batch) for batch in outputs]
    with pytest.raises(ToolchainError) as caught:
        list(check_rows(batches))
    assert caught.value.code is ExitCode.USAGE
    assert (caught.value.where, caught.value.found) == ("output b", "(4,)")


def test_batches_of_several_sizes_and_infinities_pass():
    batches = [({}, {"a": np.full((2, 3), -np.inf)}), ({}, {"a": np.zeros((1, 3))})]
    assert list(check_rows(batches)) == batches
