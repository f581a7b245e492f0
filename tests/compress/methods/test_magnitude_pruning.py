import numpy as np
import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from toolchain.errors import ExitCode, ToolchainError


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10))


def read_weights(model):
    return torch.cat([p.flatten() for n, p in model.named_parameters() if n.endswith("weight")])


def test_global_pruning_zeroes_the_smallest_of_all_weights(compress):
    before = read_weights(small_model())
    after = read_weights(compress(small_model(), method="magnitude_pruning", amount=0.5).model)
    threshold = before.abs().sort().values[len(before) // 2 - 1]
    np.testing.assert_array_equal((after == 0).numpy(), (before.abs() <= threshold).numpy())


def test_layer_pruning_zeroes_the_same_share_everywhere(compress):
    draft = compress(small_model(), method="magnitude_pruning", amount=0.25, scope="layer")
    for name, parameter in draft.model.named_parameters():
        share = (parameter == 0).float().mean().item()
        assert share == (pytest.approx(0.25, abs=0.01) if name.endswith("weight") else 0)


def test_a_threshold_zeroes_what_is_not_above_it(compress):
    before = read_weights(small_model())
    after = read_weights(compress(small_model(), method="magnitude_pruning", scope="threshold", threshold=0.02).model)
    np.testing.assert_array_equal((after == 0).numpy(), (before.abs() <= 0.02).numpy())
    assert torch.equal(after[after != 0], before[after != 0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "not told how much"),
        ({"amount": 0.5, "threshold": 0.1}, "not told how much"),
        ({"threshold": 0.1}, "not told how much"),
        ({"scope": "threshold", "amount": 0.1}, "not told how much"),
        ({"scope": "threshold", "threshold": 9.0}, "leaves nothing of 2"),
        ({"scope": "threshold", "threshold": 1e-9}, "prunes nothing"),
        ({"amount": 0.0}, "greater than 0"),
        ({"amount": 1.0}, "less than 1"),
    ],
)
def test_wrong_amounts_are_refused(compress, options, said):
    with pytest.raises(ToolchainError, match=said) as caught:
        compress(small_model(), method="magnitude_pruning", **options)
    assert caught.value.code is ExitCode.USAGE


def test_a_skipped_layer_is_not_pruned(compress):
    draft = compress(small_model(), method="magnitude_pruning", amount=0.5, skip=["2"])
    assert not (draft.model[2].weight == 0).any()
    assert (draft.model[0].weight == 0).any()


def test_the_state_dict_keeps_its_names(compress):
    draft = compress(small_model(), method="magnitude_pruning", amount=0.5)
    assert draft.model.state_dict().keys() == small_model().state_dict().keys()


def test_what_was_pruned_stays_zero_through_a_training(compress):
    net = build_net()
    before = net.blocks[0].conv1.weight.detach().clone()
    draft = compress(net, method="magnitude_pruning", amount=0.5, scope="layer", finetune={"epochs": 2})
    weight = draft.model.blocks[0].conv1.weight
    assert (weight == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    kept = weight != 0
    assert not torch.equal(weight[kept], before[kept])


def test_a_model_without_weights_is_refused(compress):
    with pytest.raises(ToolchainError, match="no layer") as caught:
        compress(nn.ReLU(), method="magnitude_pruning", amount=0.5)
    assert caught.value.code is ExitCode.USAGE
