import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import NETWORKS, assert_reloads
from toolchain.compress import Draft
from toolchain.compress.layers import WEIGHTED, LayerOptions
from toolchain.compress.methods import channel_sparsity
from toolchain.compress.methods.channel_sparsity import _check_scales, _gather_scales
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.errors import ExitCode, ToolchainError

# 40 steps of a mean learning rate near 0.025: a scale that no gradient holds shrinks by about the strength.
SPARSIFY = {"epochs": 10, "batch_size": 16, "learning_rate": 0.05}


def gather(net):
    groups = find_channel_groups(
        Draft(net), (torch.rand(1, 3, 8, 8),), LayerOptions(), method="test", kinds=(nn.Conv2d,)
    )
    return {group.root: _gather_scales(group) for group in groups}


def test_scales_around_a_shortcut_are_one_group_per_channel():
    net = build_net()
    norms = [net.norm, net.blocks[0].bn2, net.blocks[1].bn2]
    expected = torch.stack([norm.weight for norm in norms]).norm(dim=0)
    torch.testing.assert_close(gather(net)["stem"].measure(), expected)
    torch.testing.assert_close(gather(net)["blocks.0.conv1"].measure(), net.blocks[0].bn1.weight.abs())


@pytest.mark.parametrize("name", ["small", "resnet8", "short_mobilenet_v2"])
def test_removing_channels_that_reached_zero_changes_no_output(compress, monkeypatch, tmp_path, name):
    build = NETWORKS[name]
    seen = {}
    remove = channel_sparsity.remove_channels

    def look(draft, picture, removed, *, method):
        pictures = torch.rand(4, 3, 8, 8)
        before = draft.model.eval()(pictures)
        remove(draft, picture, removed, method=method)
        torch.testing.assert_close(draft.model(pictures), before, rtol=1e-4, atol=1e-5)
        seen.update(removed)

    monkeypatch.setattr(channel_sparsity, "remove_channels", look)
    draft = compress(build(), method="channel_sparsity", sparsify=SPARSIFY, strength=2.0, round_to=2)
    assert sum(len(channels) for channels in seen.values()) > 0
    smaller = [m.weight.shape[0] for m in draft.model.modules() if isinstance(m, nn.Conv2d)]
    assert sum(smaller) < sum(m.weight.shape[0] for m in build().modules() if isinstance(m, nn.Conv2d))
    assert all(width % 2 == 0 for width in smaller)
    assert_reloads(draft, build, tmp_path)


def test_without_the_push_no_scale_reaches_zero_and_that_is_an_error(compress):
    with pytest.raises(ToolchainError, match=r"too few channels to remove\n.*stem.*found 0; 0 reached zero") as caught:
        compress(build_net(), method="channel_sparsity", sparsify={"epochs": 1}, strength=1e-9)
    assert caught.value.code is ExitCode.USAGE


def test_the_smallest_go_where_a_share_is_asked_for(compress):
    net = build_net()
    for norm in (net.norm, net.blocks[0].bn2, net.blocks[1].bn2):
        norm.weight.data[:4] = 1e-3
    short = {"epochs": 1, "learning_rate": 1e-6}
    draft = compress(net, method="channel_sparsity", sparsify=short, strength=1e-9, amount_min=0.08, round_to=4)
    assert draft.model.stem.out_channels == 12
    torch.testing.assert_close(draft.model.stem.weight, build_net().stem.weight[4:], rtol=0, atol=1e-4)


def test_a_skipped_layer_is_not_pushed(compress):
    draft = compress(
        build_net(), method="channel_sparsity", sparsify=SPARSIFY, strength=2.0, round_to=2, skip=["blocks.0.conv1"]
    )
    assert draft.model.blocks[0].conv1.out_channels == 16
    assert draft.model.blocks[0].bn1.weight.abs().min() > 0.1


@pytest.mark.parametrize(
    ("name", "layers", "said"),
    [
        ("mlp", ["fc2"], "no scale for every layer that writes the channels of fc2"),
        ("transformer", ["embed", "layers.*"], "attention"),
    ],
)
def test_a_layer_without_a_scale_is_refused_where_it_is_named(compress, name, layers, said):
    with pytest.raises(ToolchainError, match=said):
        compress(NETWORKS[name](), method="channel_sparsity", sparsify=SPARSIFY, layers=layers)


def test_a_layer_without_a_scale_that_nobody_named_stays_and_that_is_said(compress):
    draft = compress(NETWORKS["mlp"](), method="channel_sparsity", sparsify={"epochs": 1}, amount_min=0.5)
    assert (draft.model.fc1.out_features, draft.model.fc2.out_features) == (16, 24)
    assert "fc2, conv (0 scales for 1 layers)" in draft.notes[0]


def test_a_transposed_convolution_without_a_scale_beside_a_shortcut_is_refused():
    """Its share of the channel would stay when the scale of the other one is zero."""

    class Up(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.down = nn.Sequential(nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16)), nn.Conv2d(16, 8, 2, 2)
            self.up, self.last = nn.ConvTranspose2d(8, 16, 2, 2), nn.Conv2d(16, 4, 1)

        def forward(self, x):
            x = self.stem(x)
            return self.last(x + self.up(self.down(x)))

    def find(draft, **options):
        return find_channel_groups(
            draft,
            (torch.rand(1, 3, 8, 8),),
            LayerOptions(**options),
            method="test",
            kinds=WEIGHTED,
            check=_check_scales,
        )

    with pytest.raises(ToolchainError, match="found 1 scales for 2 layers"):
        find(Draft(Up()), layers=["stem.0", "up"])
    with pytest.raises(ToolchainError, match="no channels to remove"):
        find(Draft(Up()))


def test_it_needs_a_training(compress):
    with pytest.raises(ToolchainError, match="sparsify"):
        compress(build_net(), method="channel_sparsity")


def test_accuracy_is_won_back_after_it(compress, tmp_path):
    draft = compress(
        build_net(), method="channel_sparsity", sparsify={"epochs": 1}, amount_min=0.3, finetune={"epochs": 1}
    )
    assert_reloads(draft, build_net, tmp_path)
