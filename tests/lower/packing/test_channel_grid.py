import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.packing.channel_grid import find_channel_grids


@given(st.integers(2, 8), st.integers(0, 2**32), st.sampled_from([1e-6, 0.037, 3.0]), st.booleans())
def test_integers_times_a_scale_are_recognized_and_reproduced_bit_for_bit(bits, seed, size, affine):
    generator = np.random.default_rng(seed)
    scales = (size * (0.1 + generator.random(5))).astype(np.float32)
    zero = int(generator.integers(0, 2**bits)) if affine else 2 ** (bits - 1)
    integers = generator.integers(0, 2**bits, (5, 70)) - zero
    rows = integers.astype(np.float32) * scales[:, None]
    found = find_channel_grids(rows)
    assert found is not None
    np.testing.assert_array_equal(found[0].astype(np.float32) * found[1][:, None], rows)
    assert np.abs(found[0]).max() <= 255


@pytest.mark.parametrize("count", [3, 40, 300])
def test_plain_float_weights_are_on_no_grid(count):
    rows = np.random.default_rng(0).standard_normal((4, count)).astype(np.float32)
    assert find_channel_grids(rows) is None


def test_a_channel_of_zeros_is_on_a_grid():
    integers, scales = find_channel_grids(np.zeros((2, 5), np.float32))
    assert not integers.any()
    np.testing.assert_array_equal(scales, [1, 1])
