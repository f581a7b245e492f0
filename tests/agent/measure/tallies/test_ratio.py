import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.tallies.ratio import Ratio, take_root


def test_sums_are_divided_and_not_ratios_averaged():
    ratio = Ratio("x")
    ratio.add_samples(np.array([1, 1]), np.array([1, 3]))
    assert ratio.compute() == 0.5
    assert ratio.compute(np.array([0, 2])) == pytest.approx(1 / 3)


def test_what_becomes_of_the_ratio_is_said():
    ratio = Ratio("x", finish=take_root)
    ratio.add_samples(np.array([9.0, 7.0]))
    assert ratio.compute() == pytest.approx(8**0.5)


def test_a_part_that_is_nan_is_infinite():
    ratio = Ratio("x")
    ratio.add_samples(np.array([np.nan, 1.0]))
    assert ratio.compute() == np.inf
    assert ratio.compute(np.array([0, 1])) == 1.0


@pytest.mark.parametrize("added", [[], [0.0, 0.0]])
def test_wholes_of_nothing_prove_nothing(added):
    ratio = Ratio("x", whole="letter")
    ratio.add_samples(np.zeros(len(added)), np.array(added))
    with pytest.raises(ToolchainError) as caught:
        ratio.compute()
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.INVALID, True)
