from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolchain.lower.calibration.observation import BINS_PER_SIDE, Observation

VALUES = hnp.arrays(
    np.float32,
    st.integers(1, 200),
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6),
)


def observe(*parts):
    observation = Observation(counting=True)
    for part in parts:
        assert observation.add(np.asarray(part, dtype=np.float32))
    return observation


def count_with_numpy(values, width):
    bins = np.floor(values.astype(np.float64) / width).astype(np.int64) + BINS_PER_SIDE
    return np.bincount(bins, minlength=2 * BINS_PER_SIDE)


def state_of(observation):
    return observation.low, observation.high, observation.exponent, observation.counts.tolist()


@given(VALUES)
def test_the_counts_are_numpys_and_every_value_is_counted(values):
    observation = observe(values)
    assert observation.counts.sum() == values.size
    assert observation.counts.tolist() == count_with_numpy(values, observation.width).tolist()
    assert (observation.low, observation.high) == (values.min(), values.max())


@given(VALUES, st.data())
def test_any_order_and_any_batching_give_the_same_histogram(values, data):
    shuffled = data.draw(st.permutations(values.tolist()))
    cut = data.draw(st.integers(0, len(shuffled)))
    assert state_of(observe(shuffled[:cut], shuffled[cut:])) == state_of(observe(values))


def test_widening_merges_bins_and_moves_no_value():
    small = np.linspace(-1.0, 1.0, 1001, dtype=np.float32)
    large = np.array([-1000.0], dtype=np.float32)
    assert state_of(observe(small, large)) == state_of(observe(np.concatenate([large, small])))


def test_a_far_outlier_leaves_the_rest_beside_zero():
    observation = observe(np.array([-0.5, 0.25, 0.5], dtype=np.float32), np.array([1e30], dtype=np.float32))
    assert observation.counts[BINS_PER_SIDE - 1 : BINS_PER_SIDE + 1].tolist() == [1, 2]
    assert observation.counts.sum() == 4


@pytest.mark.parametrize("magnitude", [1e-20, 0.75, 1.0, 6.0, 3.4e38])
def test_the_largest_magnitude_lies_in_the_upper_half_of_the_bins(magnitude):
    (filled,) = np.flatnonzero(observe([magnitude]).counts)
    assert BINS_PER_SIDE // 2 <= filled - BINS_PER_SIDE < BINS_PER_SIDE


def test_zeros_alone_are_counted_at_zero():
    observation = observe(np.zeros(7))
    assert observation.counts[BINS_PER_SIDE] == 7
    assert (observation.low, observation.high) == (0.0, 0.0)


def test_values_too_small_for_the_bins_are_counted_beside_zero():
    observation = observe([1e-40, -1e-40])
    assert observation.counts[BINS_PER_SIDE - 1 : BINS_PER_SIDE + 1].tolist() == [1, 1]


@pytest.mark.parametrize("counting", [True, False])
def test_nan_is_refused_and_nothing_of_its_batch_counted(counting):
    observation = Observation(counting=counting)
    assert observation.add(np.array([1.0, 2.0], dtype=np.float32))
    assert not observation.add(np.array([np.nan, 5.0], dtype=np.float32))
    assert observation.high == 2.0
    assert observation.infinite_in is None
    assert not counting or observation.counts.sum() == 2


@pytest.mark.parametrize("counting", [True, False])
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_an_infinity_is_noted_with_its_first_batch_and_only_the_rest_counted(bad, counting):
    observation = Observation(counting=counting)
    for batch, value in [(4, bad), (2, bad), (3, 1.0)]:
        assert observation.add(np.array([value, 5.0], dtype=np.float32), batch=batch)
    assert observation.infinite_in == 2
    assert observation.high == 5.0
    assert not counting or observation.counts.sum() == 4


def test_a_double_that_float32_cannot_hold_is_infinite():
    observation = Observation(counting=True)
    with np.errstate(over="ignore"):
        assert observation.add(np.array([1e300]), batch=7)
    assert observation.infinite_in == 7
    assert observation.counts.sum() == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_type_and_layout_is_counted(dtype):
    values = np.arange(-12, 12, dtype=dtype).reshape(2, 3, 4).transpose(2, 0, 1)
    values.setflags(write=False)
    observation = Observation(counting=True)
    assert observation.add(values)
    assert observation.counts.tolist() == count_with_numpy(np.arange(-12.0, 12.0), observation.width).tolist()


def test_an_array_without_elements_changes_nothing():
    observation = Observation(counting=True)
    assert observation.add(np.empty((0, 3), dtype=np.float32))
    assert observation.counts.sum() == 0


def test_bounds_alone_keep_no_counts():
    observation = Observation(counting=False)
    assert observation.add(np.array([-3.0, 2.0], dtype=np.float32))
    assert (observation.low, observation.high) == (-3.0, 2.0)
    with pytest.raises(ValueError, match="bounds only"):
        _ = observation.counts


def test_threads_that_add_at_once_lose_nothing():
    parts = [np.random.default_rng(seed).normal(0, 2**seed, 5000).astype(np.float32) for seed in range(16)]
    observation = Observation(counting=True)
    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(observation.add, parts))
    assert state_of(observation) == state_of(observe(np.concatenate(parts)))
