import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import NETWORKS, Up
from toolchain.compress import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.errors import ExitCode, ToolchainError

PICTURE = torch.rand(1, 3, 8, 8)
KINDS = (nn.Conv2d, nn.Linear)


def find(model, **options):
    return find_in(Draft(model), **options)


def find_in(draft, **options):
    return find_channel_groups(draft, (PICTURE,), LayerOptions(**options), method="test", kinds=KINDS)


def refuse(model, said, **options):
    with pytest.raises(ToolchainError, match=said) as caught:
        find(model, **options)
    assert caught.value.code is ExitCode.USAGE


def test_layers_around_a_shortcut_share_their_channels():
    groups = find(build_net())
    assert {frozenset(group.layers) for group in groups} == {
        frozenset({"stem", "blocks.0.conv2", "blocks.1.conv2"}),
        frozenset({"blocks.0.conv1"}),
        frozenset({"blocks.1.conv1"}),
    }
    assert all((group.channels, group.sections) == (16, 1) for group in groups)


@pytest.mark.parametrize("name", ["small", "resnet8", "mobilenet_v2", "mlp"])
def test_the_outputs_of_the_model_are_in_no_group(name):
    model = NETWORKS[name]()
    last = [layer for layer, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    assert last not in {layer for group in find(model) for layer in group.layers}


def test_outputs_behind_an_operation_are_the_models_all_the_same():
    class Ending(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x):
            return (self.last(self.first(x)).relu() + x.mean()).softmax(dim=1)

    assert [group.layers for group in find(Ending())] == [("first",)]


def test_a_depthwise_convolution_goes_with_the_layer_before_it():
    groups = find(NETWORKS["mobilenet_v2"]())
    assert ["features.2.conv.0.0", "features.2.conv.1.0"] in [sorted(group.layers) for group in groups]


def test_a_skipped_layer_keeps_the_layers_bound_to_it():
    assert [group.layers for group in find(build_net(), skip=["stem", "blocks.0.conv1"])] == [("blocks.1.conv1",)]


def test_a_part_of_bound_layers_is_refused():
    refuse(build_net(), "from all layers that share them\n.*also .*blocks.0.conv2", layers=["stem"])


def test_a_grouped_transposed_convolution_keeps_its_channels():
    refuse(Up(groups=2), "up has them too", layers=["stem", "down", "up"])


def test_attention_heads_are_refused_by_name_with_what_is_left_to_prune():
    said = r"layers.\d.attention has them too\n(.*\n)*.*leaves .*layers.0.mlp.0"
    refuse(NETWORKS["transformer"](), said, layers=["embed", "layers.*"])


def test_hidden_features_of_a_transformer_can_go_where_they_are_named():
    groups = find(NETWORKS["transformer"](), layers=["layers.*.mlp.0"])
    assert sorted(group.layers for group in groups) == [("layers.0.mlp.0",), ("layers.1.mlp.0",)]


def test_a_parameter_outside_of_layers_is_refused_by_name():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
            self.scale = nn.Parameter(torch.ones(8, 1, 1))

        def forward(self, x):
            return self.last(self.first(x) * self.scale).mean(dim=(2, 3))

    refuse(Scaled(), "because scale has them too", layers=["first"])
    refuse(Scaled(), r"no channels to remove(.*\n)*.*first \(scale, a Parameter\)")


def test_a_classifier_alone_has_nothing_to_remove():
    refuse(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "no channels to remove\n.*found 1")
