import numpy as np
import pytest
import torch
from torch import nn

from tests.compress.conftest import make_samples
from toolchain.compress import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.compress.pruning.importance import score_channels


@pytest.fixture
def net():
    """Return a net with one group: the outputs of the first layer, which its second one reads."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 6), nn.Flatten()).eval()


def score(net, importance, material):
    groups = find_channel_groups(
        Draft(net), (torch.rand(1, 3, 8, 8),), LayerOptions(), method="test", kinds=(nn.Conv2d,)
    )
    assert [group.root for group in groups] == ["0"]
    (values,) = score_channels(net, groups, importance, material)
    return values.numpy()


def split(net, values=None):
    """Return writer `(channels, …)` and reader `(channels, …)` of the net's weights, or of tensors of their shapes."""
    first, second = [net[0].weight, net[2].weight] if values is None else values
    flat = [first.detach().flatten(1), second.detach().transpose(0, 1).flatten(1)]
    return [part.numpy().astype(np.float64) for part in flat]


def assert_proportional(found, expected):
    np.testing.assert_allclose(found / found.mean(), expected / expected.mean(), rtol=1e-4)


@pytest.mark.parametrize("power", [1, 2])
def test_magnitudes_are_of_what_writes_a_channel_and_of_what_reads_it(net, material, power):
    expected = sum((np.abs(part) ** power).sum(axis=1) for part in split(net))
    assert_proportional(score(net, f"l{power}", material), expected)


def loss(net, samples, indices):
    images = torch.from_numpy(samples.take(np.array(indices))["input"])
    return nn.functional.cross_entropy(
        net(images), torch.from_numpy(samples.targets["labels"][indices]), reduction="sum"
    )


def test_taylor_is_the_weight_times_the_gradient_of_the_loss(net, material):
    gradients = torch.autograd.grad(loss(net, make_samples(), range(64)), [net[0].weight, net[2].weight])
    expected = sum(np.abs(w * g).sum(axis=1) for w, g in zip(split(net), split(net, gradients), strict=True))
    assert_proportional(score(net, "taylor", material), expected)


def test_hessian_is_the_squared_weight_times_the_mean_squared_gradient_of_single_samples(net, material):
    expected = np.zeros(6)
    for index in range(64):
        gradients = torch.autograd.grad(loss(net, make_samples(), [index]), [net[0].weight, net[2].weight])
        expected += sum((w**2 * g**2).sum(axis=1) for w, g in zip(split(net), split(net, gradients), strict=True))
    assert_proportional(score(net, "hessian", material), expected)


def test_fpgm_is_the_distance_from_the_other_filters(net, material):
    filters = split(net)[0]
    expected = np.array([sum(np.linalg.norm(one - other) for other in filters) for one in filters])
    assert_proportional(score(net, "fpgm", material), expected)


def test_lamp_is_the_share_among_those_that_are_not_smaller(net, material):
    squares = sum((part**2).sum(axis=1) for part in split(net)) / 2
    expected = np.array([one / squares[squares >= one].sum() for one in squares])
    np.testing.assert_allclose(score(net, "lamp", material), expected, rtol=1e-5)


def test_activations_are_the_mean_of_what_the_next_layer_reads(net, material):
    images = torch.from_numpy(make_samples().batch(0, 64)["input"])
    expected = net[1](net[0](images)).abs().mean(dim=(0, 2, 3)).detach().numpy()
    assert_proportional(score(net, "activations", material), expected)


@pytest.mark.parametrize("importance", ["l2", "taylor", "hessian", "activations"])
def test_scoring_leaves_the_model_as_it_was(net, material, importance):
    before = [parameter.detach().clone() for parameter in net.parameters()]
    score(net, importance, material)
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module._forward_pre_hooks for module in net.modules())
