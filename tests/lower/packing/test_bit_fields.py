import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.packing.bit_fields import count_bits, list_left_shifts, pack_codes, word_bits


def read_codes(words, bits, count):
    """The codes again, from the words as Python integers."""
    per_word = word_bits(bits) // bits
    return [(int(word) >> (bits * index)) % 2**bits for word in words[:, 0] for index in range(per_word)][:count]


@given(st.integers(1, 8), st.integers(1, 200), st.integers(0, 2**32))
def test_any_number_of_codes_of_any_width_comes_back(bits, count, seed):
    codes = np.random.default_rng(seed).integers(0, 2**bits, count)
    words = pack_codes(codes, bits)
    assert read_codes(words, bits, count) == codes.tolist()
    assert len(words) == -(-count // (word_bits(bits) // bits))


@pytest.mark.parametrize("bits", range(1, 9))
def test_two_shifts_take_a_code_out(bits):
    codes = np.arange(40) % 2**bits
    words = pack_codes(codes, bits)
    fields = (words << list_left_shifts(bits)) >> words.dtype.type(word_bits(bits) - bits)
    np.testing.assert_array_equal(fields.reshape(-1)[:40], codes)


@pytest.mark.parametrize(("values", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (16, 4), (17, 5), (256, 8)])
def test_the_bits_are_the_fewest_that_tell_the_values_apart(values, bits):
    assert count_bits(values) == bits
