import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import NETWORKS
from toolchain.compress import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.pruning.blocks import find_blocks, remove_least_blocks
from toolchain.errors import ToolchainError

PICTURES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def find(model, **options):
    return find_blocks(model, (PICTURES,), LayerOptions(**options), method="test")


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("small", {"blocks.0": ["bn2"], "blocks.1": ["bn2"]}),
        ("resnet8", {"blocks.0": ["norm2"]}),  # the others change shape
        (
            "mobilenet_v2",
            {"features.1": ["conv.2"]}
            | {f"features.{index}": ["conv.3"] for index in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)},
        ),
        (
            "transformer",
            {f"layers.{index}": ["attention.out_proj", "mlp.2"] for index in (0, 1)},
        ),
    ],
)
def test_blocks_and_what_closes_them_are_found(name, blocks):
    found = {block.name: sorted(block.gates) for block in find(NETWORKS[name]())}
    assert found == {block: [f"{block}.{gate}" for gate in gates] for block, gates in blocks.items()}


def test_a_block_with_a_skipped_layer_stays():
    assert [block.name for block in find(build_net(), skip=["blocks.0.conv2"])] == ["blocks.1"]


def test_layers_without_a_shortcut_are_no_block():
    plain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()), nn.Conv2d(8, 2, 8))
    with pytest.raises(ToolchainError, match="no residual block"):
        find(plain)


def test_a_gate_that_halves_its_input_is_no_block():
    class SqueezeExcite(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Conv2d(8, 8, 1)

        def forward(self, x):
            return x * torch.sigmoid(self.fc(x.mean(dim=(2, 3), keepdim=True)))

    with pytest.raises(ToolchainError, match="no residual block"):
        find(nn.Sequential(nn.Conv2d(3, 8, 1), SqueezeExcite(), nn.Conv2d(8, 2, 8)))


def test_the_block_that_says_least_goes_first():
    net = build_net()
    net.blocks[1].bn2.weight.data.mul_(0.01)
    net.blocks[1].bn2.bias.data.mul_(0.01)
    draft, blocks = Draft(net), find(net)
    before = net(PICTURES)
    remove_least_blocks(draft, blocks, 1, (PICTURES,), method="test")
    assert isinstance(draft.model.blocks[1], nn.Identity)
    assert not isinstance(draft.model.blocks[0], nn.Identity)
    assert (draft.model(PICTURES) - before).abs().max() < 0.1


def test_more_blocks_than_there_are_is_refused():
    net = build_net()
    with pytest.raises(ToolchainError, match=r"at most 2: blocks.0, blocks.1.* found 3"):
        remove_least_blocks(Draft(net), find(net), 3, (PICTURES,), method="test")
