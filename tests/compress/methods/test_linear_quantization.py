import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.compress.conftest import build_net
from toolchain.compress.quantization.linear_grid import choose_grid
from toolchain.errors import ExitCode, ToolchainError


def draw_weight(seed, shape, shift=0.0):
    return torch.from_numpy((np.random.default_rng(seed).standard_normal(shape) + shift).astype(np.float32))


def count_values(weight):
    return len(np.unique(weight.detach().numpy()))


grids = {
    "bits": st.integers(2, 8),
    "symmetric": st.booleans(),
    "per_channel": st.booleans(),
    "shape": st.sampled_from([(5, 3, 3, 3), (4, 7), (1, 300), (3, 1, 5, 5)]),
    "seed": st.integers(0, 100),
    "shift": st.sampled_from([0.0, 0.4, -3.0]),
}


@given(**grids, clipping=st.sampled_from(["none", "mse"]))
def test_a_grid_has_at_most_2_to_the_bits_points_and_zero_is_one(
    bits, symmetric, per_channel, shape, seed, shift, clipping
):
    weight = draw_weight(seed, shape, shift)
    grid = choose_grid(weight, bits=bits, symmetric=symmetric, per_channel=per_channel, clipping=clipping)
    snapped = grid.snap(weight)
    for part in snapped if per_channel else [snapped]:
        assert count_values(part) <= 2**bits
    assert torch.equal(grid.snap(torch.zeros_like(weight)), torch.zeros_like(weight))
    assert torch.equal(grid.snap(snapped), snapped)


@given(**grids)
def test_an_error_is_at_most_half_a_step_where_the_whole_range_is_covered(
    bits, symmetric, per_channel, shape, seed, shift
):
    weight = draw_weight(seed, shape, shift)
    grid = choose_grid(weight, bits=bits, symmetric=symmetric, per_channel=per_channel, clipping="none")
    # The zero point is rounded, so that an end of an affine range may lie half a step outside.
    steps = 0.5 if symmetric else 1.0
    excess = (grid.snap(weight) - weight).abs() - steps * grid.scale
    assert float(excess.max()) <= 1e-5


@given(seed=st.integers(0, 100), bits=st.integers(2, 8), symmetric=st.booleans())
def test_inside_the_range_an_error_is_at_most_half_a_step(seed, bits, symmetric):
    weight = draw_weight(seed, (4, 50))
    grid = choose_grid(weight, bits=bits, symmetric=symmetric, per_channel=True, clipping="mse")
    low, high = (grid.lowest - grid.zero_point) * grid.scale, (grid.highest - grid.zero_point) * grid.scale
    inside = (weight >= low) & (weight <= high)
    error = (grid.snap(weight) - weight).abs()
    assert bool((error <= 0.5 * grid.scale * (1 + 1e-5))[inside].all())


def test_symmetric_per_channel_is_what_numpy_computes():
    weight = draw_weight(0, (6, 3, 3, 3))
    grid = choose_grid(weight, bits=4, symmetric=True, per_channel=True, clipping="none")
    array = weight.numpy().astype(np.float64)
    scale = np.abs(array).max(axis=(1, 2, 3), keepdims=True) / 7
    np.testing.assert_allclose(grid.snap(weight).numpy(), np.rint(array / scale) * scale, rtol=1e-5, atol=1e-7)


def test_affine_per_tensor_is_what_numpy_computes():
    weight = draw_weight(1, (6, 20), shift=0.7)
    grid = choose_grid(weight, bits=5, symmetric=False, per_channel=False, clipping="none")
    array = weight.numpy().astype(np.float64)
    scale = (array.max() - array.min()) / 31
    zero = np.rint(-array.min() / scale)
    expected = (np.clip(np.rint(array / scale) + zero, 0, 31) - zero) * scale
    np.testing.assert_allclose(grid.snap(weight).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_clipping_never_raises_the_squared_error_and_lowers_it_at_few_bits():
    weight = draw_weight(2, (16, 400))
    errors = {}
    for clipping in ("none", "mse"):
        grid = choose_grid(weight, bits=3, symmetric=True, per_channel=True, clipping=clipping)
        errors[clipping] = (grid.snap(weight) - weight).square().sum(dim=1)
    assert bool((errors["mse"] <= errors["none"]).all())
    assert float(errors["mse"].sum()) < 0.8 * float(errors["none"].sum())


@pytest.mark.parametrize("options", [{}, {"symmetric": False}, {"per_channel": False}])
def test_folded_weights_are_on_the_grid_and_fixed(compress, options):
    draft = compress(build_net(), method="linear_quantization", bits=3, **options)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in draft.model.modules())
    assert draft.list_fixed() == ["stem", *[f"blocks.{i}.conv{j}" for i in (0, 1) for j in (1, 2)], "head"]
    for channel in draft.model.blocks[0].conv1.weight:
        assert count_values(channel) <= 8
    assert {edit.bits for edit in draft.edits if edit.edit == "fixed"} == {3}


def test_eight_bits_change_the_outputs_little_and_a_skipped_layer_not_at_all(compress):
    pictures = torch.rand(4, 3, 8, 8)
    net = build_net()
    before, head = net(pictures).detach(), net.head.weight.detach().clone()
    draft = compress(net, method="linear_quantization", bits=8, skip=["head"])
    after = draft.model(pictures).detach()
    assert not torch.equal(after, before)
    assert float((after - before).norm() / before.norm()) < 0.02
    assert torch.equal(draft.model.head.weight, head)
    assert "head" not in draft.list_fixed()


def test_zeros_of_a_pruned_layer_stay_zero(compress):
    net = build_net()
    with torch.no_grad():
        net.head.weight[0] = 0
    weight = compress(net, method="linear_quantization", bits=2, symmetric=False).model.head.weight
    assert not weight[0].any()


@pytest.mark.parametrize("bits", [0, 1, 9, 4.5, "4"])
def test_bits_out_of_range_are_refused(compress, bits):
    with pytest.raises(ToolchainError, match="bits") as caught:
        compress(build_net(), method="linear_quantization", bits=bits)
    assert caught.value.code is ExitCode.USAGE


def test_a_layer_that_matches_nothing_is_refused(compress):
    with pytest.raises(ToolchainError, match="matches nothing"):
        compress(build_net(), method="linear_quantization", bits=4, layers=["tail"])


def test_a_training_of_quantized_weights_is_refused(compress):
    with pytest.raises(ToolchainError, match="stem is quantized"):
        compress(build_net(), method="linear_quantization", bits=4, finetune={"epochs": 1})
