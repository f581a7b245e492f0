import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.ao.quantization import FakeQuantize, PerChannelMinMaxObserver

from toolchain.compress.quantization.fake_quantization import LearnedRangeMarker, RoundedLayer, round_weight
from toolchain.compress.quantization.range_markers import FixedRange, Grid
from toolchain.lower.affine import affine_parameters, is_on_grid, quantize_weight
from toolchain.lower.ranges import TensorRange


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_weight_is_rounded_as_the_lowering_rounds_it():
    weight = draw(8, 4, 3, 3)
    quantized = quantize_weight(weight.numpy(), axis=0, bits=8, input_scale=np.float32(1), bias=None)
    expected = quantized.values * quantized.scales.reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(round_weight(weight, 8).numpy(), expected, rtol=1e-6)


def test_a_weight_is_rounded_as_torch_ao_rounds_it():
    weight = draw(8, 20)
    fake = FakeQuantize(
        PerChannelMinMaxObserver,
        ch_axis=0,
        quant_min=-63,
        quant_max=63,
        qscheme=torch.per_channel_symmetric,
        dtype=torch.qint8,
    )
    fake(weight)
    # Its scale spans 126 steps of 2 * largest / 126: the same as ours.
    torch.testing.assert_close(round_weight(weight, 7), fake(weight))


@given(st.integers(0, 2**31 - 1), st.integers(2, 8), st.booleans())
def test_a_rounded_weight_has_few_values_and_is_half_a_step_away_at_most(seed, bits, per_channel):
    weight = draw(4, 3, 2, 2, seed=seed)
    rounded = round_weight(weight, bits, per_channel=per_channel)
    limit = 2 ** (bits - 1) - 1
    largest = weight.abs().flatten(1).amax(1) if per_channel else weight.abs().max().expand(4)
    steps = (largest / limit).reshape(-1, 1, 1, 1)
    assert ((rounded - weight).abs() <= steps * 0.501).all()
    for channel in rounded if per_channel else [rounded]:
        assert len(channel.unique()) <= 2**bits
    torch.testing.assert_close(round_weight(rounded, bits, per_channel=per_channel), rounded)


@given(st.integers(0, 2**31 - 1), st.integers(2, 8))
def test_a_rounded_weight_is_recognized_and_another_is_not(seed, bits):
    weight = draw(4, 30, seed=seed)
    assert is_on_grid(round_weight(weight, bits).numpy(), axis=0, bits=bits)
    assert not is_on_grid(weight.numpy(), axis=0, bits=bits)


def test_a_channel_of_zeros_stays_zero():
    weight = draw(3, 5)
    weight[1] = 0
    rounded = round_weight(weight, 8)
    assert (rounded[1] == 0).all()
    assert torch.isfinite(rounded).all()


def test_the_gradient_passes_through_a_rounded_layer():
    layer, x = nn.Linear(6, 4), draw(5, 6)
    RoundedLayer(layer, 8)(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(4, 6))


@given(st.floats(-50, 0), st.floats(0.01, 50))
def test_a_grid_is_the_one_of_the_lowering(low, high):
    grid, expected = Grid.cover(low, high), affine_parameters(TensorRange(low, high), "uint8", symmetric=False)
    assert (grid.scale, grid.zero_point) == (float(expected.scale), expected.zero_point)


@given(st.floats(-50, -0.01), st.floats(0.01, 50), st.integers(0, 2**31 - 1))
def test_a_marker_rounds_as_the_fixed_range_that_it_becomes(low, high, seed):
    marker, x = LearnedRangeMarker(low, high), draw(2, 50, seed=seed) * 30
    grid = Grid.cover(*marker.read_range())
    rounded = marker(x).detach()
    off = (FixedRange(grid)(x) - rounded).abs()
    assert (off <= grid.scale * 1.01).all()  # a tie may fall to either side
    assert (off > grid.scale * 1e-3).float().mean() < 0.1
    inside = (x > grid.scale * (0.5 - grid.zero_point)) & (x < grid.scale * (254.5 - grid.zero_point))
    assert ((rounded - x).abs()[inside] <= grid.scale * 0.501).all()


def reference_gradients(x, low, high):
    """Return the gradients of sum(y * weights of x's own) by the formulas of LSQ+ (equations 4 and 5), in numpy."""
    scale = (high - low) / 255
    zero = np.clip(np.rint(-low / scale), 0, 255)
    numbers = np.rint(x / scale) + zero
    below, above = numbers < 0, numbers > 255
    by_scale = np.where(below, -zero, np.where(above, 255 - zero, (np.rint(x / scale) * scale - x) / scale))
    by_zero = np.where(below | above, -scale, 0)
    # scale = (high - low) / 255, zero point = -255 * low / (high - low)
    by_low = -by_scale / 255 + by_zero * (-255 * high / (high - low) ** 2)
    by_high = by_scale / 255 + by_zero * (255 * low / (high - low) ** 2)
    return by_low.sum(), by_high.sum(), ~(below | above)


def test_the_gradients_of_a_learned_range_are_those_of_lsq_plus():
    x = draw(4, 100).requires_grad_()
    marker = LearnedRangeMarker(-0.7, 1.3)
    marker(x).sum().backward()
    low, high, inside = reference_gradients(x.detach().double().numpy(), -0.7, 1.3)
    factor = 2.0**2 / np.sqrt(100)
    for bound, expected in ((marker.low, low), (marker.high, high)):
        limited = np.clip(expected * factor, -2.0, 2.0)  # one width at most
        np.testing.assert_allclose(bound.grad.item(), limited, rtol=1e-3)
    np.testing.assert_array_equal(x.grad.numpy(), inside)


@pytest.mark.parametrize("bound", ["low", "high"])
def test_a_clipped_value_moves_the_bound_that_it_hits_by_the_finite_difference(bound):
    x = torch.full((1, 1), 9.0 if bound == "high" else -9.0)
    marker, step = LearnedRangeMarker(-1.0, 3.0), 1e-2
    marker.width.fill_(1.0)  # no scaling: the gradient itself
    marker(x).sum().backward()
    with torch.no_grad():
        values = []
        for sign in (-1, 1):
            moved = LearnedRangeMarker(-1.0, 3.0)
            getattr(moved, bound).add_(sign * step)
            values.append(moved(x).item())
    slope = (values[1] - values[0]) / (2 * step)
    # The grid moves in steps of its zero point: half a step of 4 / 255 is the error of either value.
    assert getattr(marker, bound).grad.item() == pytest.approx(slope, abs=4 / 255 / (2 * step) + 0.05)
    assert getattr(marker, bound).grad.item() == pytest.approx(1.0, abs=0.05)


def test_a_range_behind_a_relu_keeps_its_zero():
    marker = LearnedRangeMarker(0.0, 2.0)
    marker(draw(3, 40)).sum().backward()
    assert marker.low.grad is None
    assert marker.read_range()[0] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_rounded_away(value):
    x = draw(2, 10)
    x[1, 3] = value
    assert LearnedRangeMarker(-1.0, 1.0)(x).isnan().any()


def test_a_range_never_closes():
    marker = LearnedRangeMarker(-1.0, 1.0)
    with torch.no_grad():
        marker.low.fill_(5.0)
        marker.high.fill_(-5.0)
    low, high = marker.read_range()
    assert low <= 0 <= high
    assert high - low == pytest.approx(2e-3, rel=0.01)
    assert torch.isfinite(marker(draw(2, 10))).all()
