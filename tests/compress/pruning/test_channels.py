import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.networks import NETWORKS, assert_reloads
from toolchain.compress import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.pruning.channels import find_channel_groups, prune_copy, remove_channels
from toolchain.errors import ExitCode, ToolchainError

PICTURE = torch.rand(1, 3, 8, 8)
KINDS = (nn.Conv2d, nn.Linear)


def find(model, **options):
    return find_channel_groups(model, (PICTURE,), LayerOptions(**options), method="test", kinds=KINDS)


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


class Up(nn.Module):
    """Down and up again, with a shortcut around both."""

    def __init__(self, groups):
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, 2, padding=1)
        self.up, self.last = nn.ConvTranspose2d(8, 16, 2, 2, groups=groups), nn.Conv2d(16, 4, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.last(x + self.up(self.down(x)))


def test_a_transposed_convolution_loses_the_channels_that_it_reads_and_those_beside_a_shortcut(tmp_path):
    model = Up(groups=1).eval()
    draft = Draft(model)
    remove_channels(draft, (PICTURE,), {group.root: [0, 3] for group in find(model)}, method="test")
    up = draft.model.up
    assert (up.in_channels, up.out_channels, tuple(up.weight.shape)) == (6, 14, (6, 14, 2, 2))
    assert_reloads(draft, lambda: Up(groups=1), tmp_path)


def test_a_grouped_transposed_convolution_keeps_its_channels():
    refuse(Up(groups=2), "up has them too")


def test_attention_heads_are_refused_by_name_with_what_is_left_to_prune():
    refuse(NETWORKS["transformer"](), r"layers.\d.attention has them too\n(.*\n)*.*leaves .*layers.0.mlp.0")


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

    refuse(Scaled(), "because scale has them too")


def test_a_classifier_alone_has_nothing_to_remove():
    refuse(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "no channels to remove\n.*found 1")


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


class Recurrent(nn.Module):
    """Columns of a convolution, read by a GRU, as a reader of text lines does."""

    def __init__(self):
        super().__init__()
        self.conv, self.sequence, self.head = nn.Conv2d(3, 16, (8, 1)), nn.GRU(16, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.sequence(self.conv(x).squeeze(2).transpose(1, 2))[0][:, -1])


def test_a_recurrent_layer_that_cannot_be_followed_is_named(compress):
    with pytest.raises(ToolchainError, match="cannot follow") as caught:
        compress(Recurrent().eval(), method="structured_pruning", amount=0.5)
    assert caught.value.found == "sequence, a recurrent layer"
    draft = compress(Recurrent().eval(), method="magnitude_pruning", amount=0.5)  # what the fix names
    assert (draft.model.conv.weight == 0).any()
