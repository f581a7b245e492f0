import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import NETWORKS, assert_reloads
from toolchain.compress import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.methods import group_sparsity
from toolchain.compress.methods.group_sparsity import _gather_gates, _gather_neurons
from toolchain.compress.pruning.blocks import find_blocks
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.errors import ExitCode, ToolchainError

SPARSIFY = {"epochs": 10, "batch_size": 16, "learning_rate": 0.05}
PICTURES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_neuron_is_what_writes_it():
    net = NETWORKS["mlp"]()
    groups = find_channel_groups(Draft(net), (PICTURES[:1],), LayerOptions(), method="test", kinds=(nn.Linear,))
    lassos = {group.root: _gather_neurons(group) for group in groups}
    assert sorted(lassos) == ["fc1", "fc2"]
    parts = [net.fc1.weight, net.fc1.bias[:, None], net.norm.weight[:, None], net.norm.bias[:, None]]
    torch.testing.assert_close(lassos["fc1"].measure(), torch.cat(parts, dim=1).norm(dim=1))
    assert lassos["fc1"].sizes.tolist() == [72 + 3] * 32
    torch.testing.assert_close(
        lassos["fc2"].measure(), torch.cat([net.fc2.weight, net.fc2.bias[:, None]], dim=1).norm(dim=1)
    )


def test_a_block_is_the_scale_and_shift_that_its_branch_ends_with():
    net = build_net()
    (first, _) = find_blocks(net, (PICTURES,), LayerOptions(), method="test")
    lasso = _gather_gates(net, first)
    norm = net.blocks[0].bn2
    torch.testing.assert_close(lasso.measure(), torch.cat([norm.weight, norm.bias]).norm()[None])
    assert lasso.sizes.tolist() == [32]


def test_neurons_that_reached_zero_go_without_a_change_of_the_outputs(compress, monkeypatch, tmp_path):
    remove = group_sparsity.remove_channels

    def look(draft, picture, removed, *, method):
        before = draft.model.eval()(PICTURES)
        remove(draft, picture, removed, method=method)
        torch.testing.assert_close(draft.model(PICTURES), before, rtol=1e-4, atol=1e-5)

    monkeypatch.setattr(group_sparsity, "remove_channels", look)
    entry = {"method": "group_sparsity", "sparsify": SPARSIFY, "neurons": True, "strength": 0.1, "round_to": 1}
    draft = compress(NETWORKS["mlp"](), **entry)
    widths = [draft.model.fc1.out_features, draft.model.fc2.out_features]
    assert widths[0] + widths[1] < 32 + 24
    assert (draft.model.norm.num_features, draft.model.fc2.in_features) == (widths[0], widths[0])
    assert draft.model.head.in_features == widths[1]
    assert_reloads(draft, NETWORKS["mlp"], tmp_path)


@pytest.mark.parametrize("name", ["small", "resnet8", "transformer"])
def test_blocks_that_reached_zero_go_without_a_change_of_the_outputs(compress, monkeypatch, tmp_path, name):
    remove = group_sparsity._remove_blocks

    def look(draft, *rest):
        before = draft.model.eval()(PICTURES)
        remove(draft, *rest)
        torch.testing.assert_close(draft.model(PICTURES), before, rtol=1e-4, atol=1e-5)

    monkeypatch.setattr(group_sparsity, "_remove_blocks", look)
    draft = compress(NETWORKS[name](), method="group_sparsity", sparsify=SPARSIFY, blocks=True, strength=3.0)
    assert [edit.edit for edit in draft.edits].count("identity") >= 1
    assert_reloads(draft, NETWORKS[name], tmp_path)


def test_without_the_push_no_block_goes_and_that_is_an_error(compress):
    with pytest.raises(ToolchainError, match=r"no block reached zero.*\n.*blocks.0, blocks.1") as caught:
        compress(build_net(), method="group_sparsity", sparsify={"epochs": 1}, blocks=True, strength=1e-9)
    assert caught.value.code is ExitCode.USAGE


def test_the_block_with_the_smallest_norm_goes_where_one_is_asked_for(compress):
    net = build_net()
    net.blocks[1].bn2.weight.data.mul_(0.1)
    net.blocks[1].bn2.bias.data.mul_(0.1)
    entry = {"method": "group_sparsity", "blocks": True, "blocks_min": 1, "strength": 1e-9}
    draft = compress(net, **entry, sparsify={"epochs": 1, "learning_rate": 1e-5})
    assert [type(block).__name__ for block in draft.model.blocks] == ["Block", "Identity"]


def test_blocks_and_neurons_go_together(compress, tmp_path):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            small = build_net()
            self.stem, self.blocks = small.stem, small.blocks
            self.fc, self.head = nn.Linear(16, 16), nn.Linear(16, 2)

        def forward(self, x):
            return self.head(torch.relu(self.fc(self.blocks(torch.relu(self.stem(x))).mean(dim=(2, 3)))))

    def build():
        torch.manual_seed(0)
        return Both().eval()

    entry = {"method": "group_sparsity", "blocks": True, "neurons": True, "blocks_min": 1, "amount_min": 0.5}
    draft = compress(build(), **entry, sparsify={"epochs": 1})
    assert any(isinstance(block, nn.Identity) for block in draft.model.blocks)
    assert draft.model.fc.out_features == 8
    assert_reloads(draft, build, tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("small", {}, "not told what its groups are"),
        ("small", {"neurons": True}, "no channels to remove\n.*found head"),
        ("small", {"blocks": True, "blocks_min": 3}, "at most 2: blocks.0, blocks.1"),
        ("transformer", {"neurons": True, "layers": ["embed", "layers.*"]}, "attention has them too"),
        ("mlp", {"blocks": True}, "no residual block"),
        ("mlp", {"neurons": True, "blocks_min": 1}, "blocks = true beside it"),
    ],
)
def test_what_cannot_be_done_is_refused(compress, name, options, said):
    with pytest.raises(ToolchainError, match=said) as caught:
        compress(NETWORKS[name](), method="group_sparsity", sparsify={"epochs": 1}, **options)
    assert caught.value.code is ExitCode.USAGE


def test_neurons_behind_a_layer_normalization_are_refused_by_name(compress):
    class Normalized(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm, self.head = nn.Linear(192, 16), nn.LayerNorm(16), nn.Linear(16, 2)

        def forward(self, x):
            return self.head(self.norm(self.fc(x.flatten(1))))

    with pytest.raises(ToolchainError, match=r"neurons of fc go, because norm has them too"):
        compress(Normalized(), method="group_sparsity", sparsify={"epochs": 1}, neurons=True, layers=["fc"])
    with pytest.raises(ToolchainError, match=r"no channels to remove(.*\n)*.*norm, a LayerNorm"):
        compress(Normalized(), method="group_sparsity", sparsify={"epochs": 1}, neurons=True)
