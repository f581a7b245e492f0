"""What every calibration method must hold."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.contracts.claims import find_broken_claims, pair_claims
from tests.contracts.outside import write_plugin
from tests.lower.calibration.observed import choose, normal
from toolchain.lower.ranges import TensorRange
from toolchain.project.members import list_members
from toolchain.project.seams import CALIBRATION_METHODS

METHODS = list(list_members(CALIBRATION_METHODS))
VALUES = hnp.arrays(
    np.float32, st.integers(1, 60), elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False) | st.just(0.0)
)


@given(values=VALUES)
def a_range_includes_zero_and_stays_inside_the_bounds(method, values):
    found = choose(method, values)
    assert min(values.min(), 0.0) <= found.low <= 0.0 <= found.high <= max(values.max(), 0.0)


@given(values=VALUES)
def a_symmetric_range_is_symmetric_and_inside_the_largest_magnitude(method, values):
    found = choose(method, values, symmetric=True)
    assert found.low == -found.high
    assert 0.0 <= found.high <= np.abs(values).max()


def a_tensor_without_negative_values_keeps_zero_as_its_low(method):
    found = choose(method, np.maximum(normal(), 0.0))
    assert found.low == 0.0
    assert found.high > 2.0


def a_tensor_without_positive_values_keeps_zero_as_its_high(method):
    found = choose(method, -np.abs(normal()))
    assert found.high == 0.0
    assert found.low < -2.0


def zeros_and_nothing_have_the_range_of_zero(method):
    for symmetric, values in itertools.product((True, False), (np.zeros(5), np.empty(0))):
        assert choose(method, values, symmetric=symmetric) == TensorRange(low=0.0, high=0.0)


def a_constant_is_represented(method):
    assert choose(method, np.full(1000, 6.0)) == TensorRange(low=0.0, high=6.0)


def the_cap_of_relu6_is_kept(method):
    found = choose(method, np.clip(4 * normal(), 0.0, 6.0))
    assert found.high == pytest.approx(6.0, abs=6.0 / 255)


def a_range_scales_with_its_tensor(method):
    found, scaled = choose(method, normal()), choose(method, normal() * np.float32(1024.0))
    assert (scaled.low, scaled.high) == pytest.approx((1024 * found.low, 1024 * found.high))


CLAIMS = (
    a_range_includes_zero_and_stays_inside_the_bounds,
    a_symmetric_range_is_symmetric_and_inside_the_largest_magnitude,
    a_tensor_without_negative_values_keeps_zero_as_its_low,
    a_tensor_without_positive_values_keeps_zero_as_its_high,
    zeros_and_nothing_have_the_range_of_zero,
    a_constant_is_represented,
    the_cap_of_relu6_is_kept,
    a_range_scales_with_its_tensor,
)


@pytest.mark.parametrize(("claim", "method"), pair_claims(CLAIMS, METHODS))
def test_every_calibration_method_keeps_the_contract(claim, method):
    claim(method)


def test_one_from_outside_keeps_the_contract(installed):
    assert find_broken_claims(CLAIMS, "acme_wide") == set()


_BROKEN = """
from toolchain.lower.ranges import TensorRange

COUNTS = False


def choose_range(observation, *, symmetric):
    return TensorRange(low=-1.0, high=1.0)
"""


def test_one_that_looks_at_nothing_is_caught(plugins):
    write_plugin(plugins, "calibration_methods", "fixed", _BROKEN)
    assert find_broken_claims(CLAIMS, "fixed") == {claim.__name__ for claim in CLAIMS}
