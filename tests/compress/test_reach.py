"""What a method does not reach is named with its share."""

import pytest
import torch
from torch import nn

from tests.compress.odd_nets import Attention, Recurrent, Tied, build_odd_net
from toolchain.compress.layers import LayerOptions
from toolchain.compress.reach import measure_reach, take_inventory
from toolchain.errors import ExitCode, ToolchainError


def test_weights_of_no_layer_are_named_with_their_shares():
    net = Attention()
    reach = measure_reach(take_inventory(net), {"patch", "head", "attention.out_proj"}, LayerOptions())
    assert [(own.name, own.kind) for own in reach.unreached] == [
        ("place", "Attention"),
        ("attention.in_proj_weight", "MultiheadAttention"),
    ]
    total = 64 + 768 + 768 + 256 + 32
    assert [own.share for own in reach.unreached] == [64 / total, 768 / total]
    assert reach.share == pytest.approx((768 + 256 + 32) / total)


def test_what_the_recipe_skips_is_not_out_of_reach():
    net = build_odd_net("plain")
    reach = measure_reach(take_inventory(net), {"0", "7", "9"}, LayerOptions(skip=["3"]))
    assert reach.unreached == ()
    assert reach.skipped_share == pytest.approx(2304 / (432 + 2304 + 256 + 32))
    assert reach.describe("test") is None


def test_of_layers_that_share_a_weight_each_counts_for_the_other():
    reach = measure_reach(take_inventory(Tied()), {"stem", "two", "head"}, LayerOptions())
    assert (reach.share, reach.unreached) == (1.0, ())


def test_the_line_for_people_names_the_largest_first():
    reach = measure_reach(take_inventory(Recurrent()), {"head"}, LayerOptions())
    assert reach.describe("magnitude_pruning") == (
        "magnitude_pruning works on 1.23% of the weights; "
        "it cannot reach lstm.weight_ih_l0 (LSTM, 59.26%), lstm.weight_hh_l0 (LSTM, 39.51%)"
    )


def test_a_method_that_reaches_nothing_is_refused_with_what_there_is(compress):
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(24, 2)

        def forward(self, x):
            return self.lstm(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1]

    with pytest.raises(ToolchainError, match="finds no layer to work on") as caught:
        compress(Alone().eval(), method="magnitude_pruning", amount=0.5)
    assert caught.value.code is ExitCode.USAGE
    assert "lstm.weight_ih_l0 (LSTM)" in caught.value.found


@pytest.mark.parametrize("method", ["magnitude_pruning", "linear_quantization", "kmeans_quantization"])
def test_convolutions_over_sequences_are_reached(compress, method):
    net = nn.Sequential(
        nn.Flatten(2), nn.Conv1d(3, 8, 5), nn.ReLU(), nn.Conv1d(8, 8, 5), nn.Flatten(), nn.Linear(448, 2)
    )
    draft = compress(
        net.eval(), method=method, **({"amount": 0.5, "scope": "layer"} if "pruning" in method else {"bits": 2})
    )
    for layer in (draft.model[1], draft.model[3]):
        weight = layer.weight.detach()
        assert (weight == 0).float().mean() > 0.3 if "pruning" in method else len(torch.unique(weight)) <= 32


def test_a_share_of_less_than_one_weight_is_refused(compress):
    with pytest.raises(ToolchainError, match="would prune nothing"):
        compress(build_odd_net("plain"), method="magnitude_pruning", amount=1e-5)
