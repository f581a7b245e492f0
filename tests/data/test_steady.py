"""What holds samples to their first reading."""

from types import MappingProxyType

import numpy as np
import pytest

from toolchain.data.steady import SteadySamples
from toolchain.errors import ExitCode, ToolchainError


class Samples:
    targets = MappingProxyType({})
    sha256 = "0" * 64

    def __init__(self):
        self.values = np.arange(12.0).reshape(6, 2)

    def __len__(self):
        return len(self.values)

    def batch(self, start, stop):
        return {"x": self.values[start:stop]}

    def name_sample(self, index):
        return f"row {index}"


def test_samples_may_be_read_again_in_other_batches():
    steady = SteadySamples(Samples(), data_set="mine")
    whole = steady.batch(0, 6)["x"]
    assert np.array_equal(np.concatenate([steady.batch(0, 4)["x"], steady.batch(4, 9)["x"]]), whole)
    assert steady.name_sample(3) == "row 3"


@pytest.mark.parametrize("change", [lambda values: values + 1, lambda values: values.astype(np.float32)])
def test_a_sample_that_reads_differently_is_refused_by_its_name(change):
    samples = Samples()
    steady = SteadySamples(samples, data_set="mine")
    steady.batch(0, 6)
    samples.values = change(samples.values)
    with pytest.raises(ToolchainError) as caught:
        steady.batch(2, 4)
    assert caught.value.code == ExitCode.USAGE
    assert "row 2" in caught.value.where


def test_samples_of_another_run_are_held_against_those_of_the_first():
    first, second, other = (SteadySamples(Samples(), data_set="mine") for _ in range(3))
    other._samples.values[5] += 1
    for steady in (first, second, other):
        steady.batch(0, 6)
    sha256 = first.hash_read(6)
    second.check_read(sha256, 6)
    with pytest.raises(ToolchainError) as caught:
        other.check_read(sha256, 6)
    assert caught.value.code == ExitCode.USAGE
    other.check_read(first.hash_read(5), 5)
