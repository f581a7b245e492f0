import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import Up, assert_reloads
from toolchain.compress import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.compress.pruning.removal import prune_copy, remove_channels
from toolchain.errors import ToolchainError

PICTURE = torch.rand(1, 3, 8, 8)


def find(model):
    return find_channel_groups(Draft(model), (PICTURE,), LayerOptions(), method="test", kinds=(nn.Conv2d, nn.Linear))


def test_a_transposed_convolution_loses_the_channels_that_it_reads_and_those_beside_a_shortcut(tmp_path):
    model = Up(groups=1).eval()
    draft = Draft(model)
    remove_channels(draft, (PICTURE,), {group.root: [0, 3] for group in find(model)}, method="test")
    up = draft.model.up
    assert (up.in_channels, up.out_channels, tuple(up.weight.shape)) == (6, 14, (6, 14, 2, 2))
    assert_reloads(draft, lambda: Up(groups=1), tmp_path)


def test_a_forward_that_counts_on_a_number_of_channels_is_refused_and_nothing_changes():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.free, self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x):
            y = self.first(self.free(x))
            return self.last(y + x.new_zeros(1, 8, 1, 1)).mean(dim=(2, 3))

    draft = Draft(Counting())
    before = {name: value.clone() for name, value in draft.model.state_dict().items()}
    with pytest.raises(ToolchainError, match="cannot remove channels of first: the model's forward counts"):
        remove_channels(draft, (PICTURE,), {"free": [0], "first": [0, 1]}, method="test")
    assert all(torch.equal(value, before[name]) for name, value in draft.model.state_dict().items())


def test_what_goes_is_what_was_named_everywhere():
    net = build_net()
    pruned = prune_copy(net, (PICTURE,), {"blocks.0.conv1": [0, 3]}, method="test")
    keep = [i for i in range(16) if i not in (0, 3)]
    assert torch.equal(pruned.blocks[0].conv1.weight, net.blocks[0].conv1.weight[keep])
    assert torch.equal(pruned.blocks[0].bn1.running_var, net.blocks[0].bn1.running_var[keep])
    assert torch.equal(pruned.blocks[0].conv2.weight, net.blocks[0].conv2.weight[:, keep])
    assert torch.equal(pruned.blocks[1].conv1.weight, net.blocks[1].conv1.weight)
    assert net.blocks[0].conv1.out_channels == 16


def test_a_grouped_convolution_loses_the_same_of_each_group(tmp_path):
    def build():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.Conv2d(12, 2, 6), nn.Flatten()
        )

    draft = Draft(build())
    (first, second) = sorted(find(draft.model), key=lambda group: group.root)
    assert (first.sections, first.slots, second.sections, second.slots) == (4, 2, 4, 3)
    assert second.list_channels([1]) == [1, 4, 7, 10]
    remove_channels(draft, (PICTURE,), {"0": first.list_channels([0]), "1": second.list_channels([1])}, method="test")
    assert (draft.model[1].groups, draft.model[1].in_channels, draft.model[1].out_channels) == (4, 4, 8)
    weight = build()[1].weight
    assert torch.equal(draft.model[1].weight, weight[[0, 2, 3, 5, 6, 8, 9, 11]][:, [1]])
    assert draft.edits == ()
    assert_reloads(draft, build, tmp_path)
