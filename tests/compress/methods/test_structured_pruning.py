import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import NETWORKS, assert_reloads, multiply_out
from toolchain.errors import ExitCode, ToolchainError

PICTURE = torch.rand(1, 3, 8, 8)


def list_widths(model):
    return [module.weight.shape[0] for module in model.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("name", ["small", "resnet8", "short_mobilenet_v2"])
def test_the_ratio_is_reached_with_the_fewest_channels(compress, tmp_path, name, scope):
    build = NETWORKS[name]
    macs = multiply_out(build(), PICTURE)
    entry = {"method": "structured_pruning", "macs_ratio": 0.7, "scope": scope, "round_to": 4}
    draft = compress(build(), **entry)
    ratio = multiply_out(draft.model, PICTURE) / macs
    assert 0.35 < ratio <= 0.7
    assert all(width % 4 == 0 for width in list_widths(draft.model))
    classes = build()(PICTURE).shape
    assert draft.model(PICTURE).shape == classes
    assert_reloads(draft, build, tmp_path)
    looser = compress(build(), **{**entry, "macs_ratio": ratio + 1e-6})
    assert multiply_out(looser.model, PICTURE) == multiply_out(draft.model, PICTURE)


@pytest.mark.parametrize("importance", ["l1", "taylor", "hessian", "fpgm", "lamp", "activations"])
def test_every_importance_reaches_the_ratio(compress, importance):
    macs = multiply_out(build_net(), PICTURE)
    draft = compress(build_net(), method="structured_pruning", macs_ratio=0.6, importance=importance, round_to=2)
    assert multiply_out(draft.model, PICTURE) <= 0.6 * macs


def test_channels_that_say_nothing_go_and_the_outputs_stay(compress):
    net = build_net()
    dead = [1, 2, 5, 6, 8, 11, 12, 15]
    for block in net.blocks:
        for parameter in (block.conv1.weight, block.bn1.weight, block.bn1.bias):
            parameter.data[dead] = 0
        block.conv2.weight.data[:, dead] = 0
    pictures = torch.rand(4, 3, 8, 8)
    before = net(pictures)
    draft = compress(net, method="structured_pruning", amount=0.5, layers=["blocks.*.conv1"])
    assert [block.conv1.out_channels for block in draft.model.blocks] == [8, 8]
    torch.testing.assert_close(draft.model(pictures), before, rtol=1e-5, atol=1e-6)


def test_an_amount_by_layer_takes_the_same_of_each(compress):
    draft = compress(build_net(), method="structured_pruning", amount=0.25, scope="layer", round_to=4)
    assert list_widths(draft.model) == [12] * 5


def test_a_skipped_layer_keeps_its_channels(compress):
    draft = compress(build_net(), method="structured_pruning", amount=0.5, skip=["blocks.1.conv1", "stem"])
    assert list_widths(draft.model) == [16, 8, 16, 16, 16]


def test_blocks_go_before_channels_and_count_in_the_ratio(compress, tmp_path):
    macs = multiply_out(build_net(), PICTURE)
    one = compress(build_net(), method="structured_pruning", blocks=1)
    assert sum(isinstance(block, nn.Identity) for block in one.model.blocks) == 1
    assert_reloads(one, build_net, tmp_path)
    both = compress(build_net(), method="structured_pruning", blocks=1, macs_ratio=0.3, round_to=4)
    assert 0.15 * macs < multiply_out(both.model, PICTURE) <= 0.3 * macs
    assert_reloads(both, build_net, tmp_path)


def test_a_second_time_goes_on_from_the_first(compress, tmp_path, material):
    first = compress(build_net(), method="structured_pruning", amount=0.25, scope="layer", round_to=4)
    second = compress(first.model, method="structured_pruning", amount=0.34, scope="layer", round_to=4)
    assert list_widths(second.model) == [8] * 5
    assert_reloads(second, build_net, tmp_path)


def test_depthwise_convolutions_remember_their_groups(compress):
    draft = compress(NETWORKS["mobilenet_v2"](), method="structured_pruning", amount=0.3, scope="layer")
    said = {edit.module: edit.groups for edit in draft.edits}
    depthwise = {
        name: module
        for name, module in draft.model.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups > 1
    }
    before = NETWORKS["mobilenet_v2"]()
    assert said == {n: m.groups for n, m in depthwise.items() if m.groups != before.get_submodule(n).groups}
    assert len(said) > 5
    assert all(m.groups == m.in_channels == m.out_channels for m in depthwise.values())


def test_hidden_features_of_a_transformer_go_where_they_are_named(compress, tmp_path):
    build = NETWORKS["transformer"]
    draft = compress(build(), method="structured_pruning", amount=0.5, layers=["layers.*.mlp.0"])
    hidden = [layer.mlp[0].out_features for layer in draft.model.layers]
    assert sum(hidden) == 32
    assert [layer.mlp[2].in_features for layer in draft.model.layers] == hidden
    assert_reloads(draft, build, tmp_path)


def test_the_accuracy_is_won_back_after_it(compress, tmp_path):
    draft = compress(build_net(), method="structured_pruning", amount=0.5, finetune={"epochs": 1})
    assert_reloads(draft, build_net, tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "not told how much"),
        ({"macs_ratio": 0.5, "amount": 0.5}, "found macs_ratio and amount"),
        ({"macs_ratio": 1.5}, "less than 1"),
        ({"amount": 0.0}, "greater than 0"),
        ({"amount": 0.01}, "would remove nothing\n.*stem"),
        ({"macs_ratio": 0.02}, "cannot get that few multiply-accumulates\n.*at least 0.2"),
        ({"blocks": 3}, "at most 2: blocks.0, blocks.1"),
        ({"amount": 0.5, "importance": "magic"}, "importance"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_changes(compress, options, said):
    net = build_net()
    with pytest.raises(ToolchainError, match=said) as caught:
        compress(net, method="structured_pruning", **options)
    assert caught.value.code is ExitCode.USAGE
    assert list_widths(net) == [16] * 5


def test_attention_is_refused_where_it_is_named_and_else_left_alone_and_said(compress):
    with pytest.raises(ToolchainError, match=r"layers.1.attention has them too"):
        compress(NETWORKS["transformer"](), method="structured_pruning", amount=0.5, layers=["embed", "layers.*"])
    draft = compress(NETWORKS["transformer"](), method="structured_pruning", amount=0.5)
    assert draft.model.embed.out_channels == 16
    assert sum(layer.mlp[0].out_features for layer in draft.model.layers) == 32
    assert "embed" in draft.notes[0]
    assert "a MultiheadAttention" in draft.notes[0]
