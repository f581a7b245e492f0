import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.compress.nets import build_mobilenet, build_resnet8, build_transformer
from toolchain.compress.methods.equalization import equalize_pair
from toolchain.errors import ExitCode, ToolchainError


def spread_channels(net, *, first, second, seed=0):
    """Scale the channels between two layers by 1/100 to 100, without changing what the net computes."""
    scales = 10 ** torch.empty(first.weight.shape[0]).uniform_(-2, 2, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        first.weight *= scales.reshape(-1, 1, 1, 1)
        first.bias *= scales
        grouped = second.groups > 1
        second.weight /= scales.reshape(-1, 1, 1, 1) if grouped else scales.reshape(1, -1, 1, 1)
    return net.eval()


def build_chain(activation=nn.ReLU, seed=0):
    """Return an inverted residual's chain, 1x1, depthwise 3x3, 1x1, with channels of very different ranges."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 1),
        activation(),
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        activation(),
        nn.Conv2d(12, 5, 1),
    )
    spread_channels(net, first=net[0], second=net[2])
    return spread_channels(net, first=net[2], second=net[4], seed=1)


def read_ranges(first, second):
    """Return the largest magnitude of each channel where it leaves the first layer and where it enters the second."""
    leaving = first.weight.detach().abs().amax(dim=(1, 2, 3))
    entering = second.weight.detach().abs().amax(dim=(1, 2, 3) if second.groups > 1 else (0, 2, 3))
    return leaving, entering


def test_the_channels_of_a_depthwise_chain_get_equal_ranges_and_the_outputs_stay(compress):
    net, pictures = build_chain(), torch.randn(2, 3, 8, 8)
    before = net(pictures).detach()
    leaving, entering = read_ranges(net[0], net[2])
    assert (leaving / entering).max() > 100
    draft = compress(net, method="equalization", iterations=100)
    for first, second in ((0, 2), (2, 4)):
        leaving, entering = read_ranges(draft.model[first], draft.model[second])
        torch.testing.assert_close(leaving, entering, rtol=1e-2, atol=0)
    torch.testing.assert_close(draft.model(pictures), before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


@given(st.integers(0, 2**31 - 1), st.sampled_from([1, 2, 4]), st.booleans())
def test_a_pair_of_any_grouping_computes_the_same(seed, groups, bias):
    torch.manual_seed(seed)
    first, second = nn.Conv2d(3, 8, 3, bias=bias), nn.Conv2d(8, 4, 3, groups=groups)
    with torch.no_grad():
        first.weight *= torch.rand(8, 1, 1, 1) * 10
        pictures = torch.randn(1, 3, 8, 8)
        before = second(first(pictures).relu())
        equalize_pair(first, second)
        torch.testing.assert_close(second(first(pictures).relu()), before, rtol=1e-3, atol=1e-4)


def test_a_dead_channel_is_left_alone():
    first, second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
    with torch.no_grad():
        first.weight[1] = 0
        second.weight[:, 2] = 0
        bias = first.bias.clone()
        equalize_pair(first, second)
    assert torch.isfinite(first.weight).all()
    assert torch.isfinite(second.weight).all()
    assert torch.equal(first.bias[1:3], bias[1:3])


def test_a_relu6_is_refused_by_name_unless_the_entry_says_what_to_do(compress):
    with pytest.raises(ToolchainError, match="Relu6 1") as caught:
        compress(build_chain(nn.ReLU6), method="equalization")
    assert caught.value.code is ExitCode.USAGE


def test_a_relu6_is_made_a_relu_only_where_the_entry_says_so(compress):
    draft = compress(build_chain(nn.ReLU6), method="equalization", relu6="unbound")
    assert [type(module) for module in draft.model][1::2] == [nn.ReLU, nn.ReLU]
    assert [edit.module for edit in draft.edits] == ["1", "3"]


def test_pairs_with_a_relu6_can_be_left_alone(compress):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU6(), nn.Conv2d(4, 4, 1))
    before = net[3].weight.detach().clone()
    draft = compress(net, method="equalization", relu6="skip")
    assert torch.equal(draft.model[3].weight, before)
    assert draft.edits == ()
    leaving, entering = read_ranges(draft.model[0], draft.model[1])
    torch.testing.assert_close(leaving, entering, rtol=1e-2, atol=0)


def test_mobilenet_computes_the_same_where_no_relu6_was_at_work(compress):
    net, pictures = build_mobilenet(), torch.randn(2, 3, 32, 32) * 0.1
    before = net(pictures).detach()
    draft = compress(net, method="equalization", relu6="unbound")
    torch.testing.assert_close(draft.model(pictures), before, rtol=1e-3, atol=1e-3 * before.abs().max().item())


def test_resnet8_computes_the_same_and_its_sums_are_left_alone(compress):
    net, pictures = build_resnet8(), torch.randn(2, 3, 32, 32)
    before = net(pictures).detach()
    draft = compress(net, method="equalization")
    torch.testing.assert_close(draft.model(pictures), before, rtol=1e-3, atol=1e-3 * before.abs().max().item())
    leaving, entering = read_ranges(draft.model.blocks[0].conv1, draft.model.blocks[0].conv2)
    torch.testing.assert_close(leaving, entering, rtol=1e-2, atol=0)


@pytest.mark.parametrize("net", [build_transformer(), nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU(), nn.Conv2d(4, 4, 1))])
def test_a_model_without_such_a_pair_is_refused(compress, net):
    with pytest.raises(ToolchainError, match="no pair") as caught:
        compress(net, method="equalization")
    assert caught.value.code is ExitCode.USAGE
