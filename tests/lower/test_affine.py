import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.affine import affine_parameters, quantize_weight, round_scale_to_float16
from toolchain.lower.ranges import TensorRange

reals = st.floats(-1e4, 1e4, width=32)


def quantize(values, parameters):
    info = np.iinfo(parameters.dtype)
    return np.clip(np.rint(values / parameters.scale) + parameters.zero_point, info.min, info.max)


@given(a=reals, b=reals, dtype=st.sampled_from(["uint8", "int8"]))
def test_zero_is_exact_and_the_error_inside_the_range_is_at_most_half_a_step(a, b, dtype):
    low, high = min(a, b), max(a, b)
    parameters = affine_parameters(TensorRange(low=low, high=high), dtype, symmetric=False)
    info = np.iinfo(dtype)
    assert info.min <= parameters.zero_point <= info.max
    values = np.linspace(min(low, 0), max(high, 0), 101)
    restored = parameters.scale * (quantize(values, parameters) - parameters.zero_point)
    # The zero point is rounded too, which moves either end of the range by up to half a step.
    inside = (values >= low + parameters.scale) & (values <= high - parameters.scale)
    assert np.all(np.abs(restored - values)[inside] <= parameters.scale * 0.501)
    assert parameters.scale * (quantize(np.zeros(1), parameters) - parameters.zero_point) == 0


def test_a_range_behind_relu_uses_all_256_steps():
    parameters = affine_parameters(TensorRange(low=0.0, high=6.0), "uint8", symmetric=False)
    assert parameters.zero_point == 0
    assert parameters.scale == np.float32(6 / 255)


def test_a_range_without_zero_is_widened_to_it():
    parameters = affine_parameters(TensorRange(low=2.0, high=4.0), "uint8", symmetric=False)
    assert (parameters.scale, parameters.zero_point) == (np.float32(4 / 255), 0)


def test_a_symmetric_range_has_zero_point_zero_and_the_larger_bound():
    parameters = affine_parameters(TensorRange(low=-2.0, high=1.0), "int8", symmetric=True)
    assert (parameters.scale, parameters.zero_point) == (np.float32(2 / 127), 0)


def test_symmetric_uint8_is_refused():
    with pytest.raises(ValueError, match="symmetric"):
        affine_parameters(TensorRange(low=-1.0, high=1.0), "uint8", symmetric=True)


def test_a_tensor_that_is_always_zero_has_a_usable_scale():
    parameters = affine_parameters(TensorRange(low=0.0, high=0.0), "uint8", symmetric=False)
    assert parameters.scale > 0


@given(scale=st.floats(2.0**-14, 65504, width=32))
def test_a_float16_scale_is_the_nearest_so_that_the_largest_value_moves_by_a_sixteenth_of_a_step(scale):
    rounded = round_scale_to_float16(np.float32(scale))
    assert rounded == rounded.astype(np.float16)
    assert abs(127 * rounded - 127 * scale) <= scale / 16


@given(scale=st.floats(2.0**-126, 2.0**-14, width=32))
def test_a_float16_scale_is_never_zero(scale):
    assert 0 < round_scale_to_float16(np.float32(scale)) == np.float16(round_scale_to_float16(np.float32(scale)))


@given(seed=st.integers(0, 1000), axis=st.integers(0, 1), bits=st.integers(2, 8))
def test_a_weight_is_restored_to_half_a_step_per_channel(seed, axis, bits):
    weight = np.random.default_rng(seed).standard_normal((4, 6)).astype(np.float32)
    quantized = quantize_weight(weight, axis=axis, bits=bits, input_scale=np.float32(0.1), bias=None)
    shape = (-1, 1) if axis == 0 else (1, -1)
    scales = quantized.scales.reshape(shape)
    assert np.abs(quantized.values).max() <= 2 ** (bits - 1) - 1
    assert np.all(np.abs(quantized.values * scales - weight) <= scales * 0.501)


def test_the_bias_of_a_dead_channel_survives():
    """With the scale of a zero channel alone, 3.0 / (scale * 0.1) would not fit into int32."""
    weight = np.array([[0.0, 0.0], [1.0, -1.0]], dtype=np.float32)
    bias = np.array([3.0, -0.5], dtype=np.float32)
    quantized = quantize_weight(weight, axis=0, bits=8, input_scale=np.float32(0.1), bias=bias)
    restored = quantized.bias * (quantized.scales.astype(np.float64) * np.float32(0.1))
    np.testing.assert_allclose(restored, bias, rtol=1e-3)
    assert not quantized.values[0].any()
