import numpy as np
import pytest
import torch
from torch import nn

from toolchain.compress import compress_model, list_methods
from toolchain.errors import ExitCode, ToolchainError


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 10))


def compress(**entry):
    return compress_model(small_model(), [{"method": "magnitude_pruning", **entry}], where="recipe.toml")


def test_global_pruning_zeroes_the_smallest_of_all_weights():
    before = torch.cat([p.flatten() for n, p in small_model().named_parameters() if n.endswith("weight")])
    after = torch.cat([p.flatten() for n, p in compress(amount=0.5).named_parameters() if n.endswith("weight")])
    threshold = before.abs().sort().values[len(before) // 2 - 1]
    np.testing.assert_array_equal((after == 0).numpy(), (before.abs() <= threshold).numpy())


def test_layer_pruning_zeroes_the_same_share_everywhere():
    for name, parameter in compress(amount=0.25, scope="layer").named_parameters():
        share = (parameter == 0).float().mean().item()
        assert share == (pytest.approx(0.25, abs=0.01) if name.endswith("weight") else 0)


def test_the_state_dict_keeps_its_names():
    assert compress(amount=0.5).state_dict().keys() == small_model().state_dict().keys()


@pytest.mark.parametrize(
    "entry",
    [{"method": "magic"}, {}, {"method": "magnitude_pruning", "amount": 1.5}, {"method": "magnitude_pruning", "x": 1}],
)
def test_a_wrong_entry_is_a_usage_error_that_names_its_place(entry):
    with pytest.raises(ToolchainError, match=r"compress\[0\]") as caught:
        compress_model(small_model(), [entry], where="recipe.toml")
    assert caught.value.code == ExitCode.USAGE


def test_a_model_without_weights_is_refused():
    with pytest.raises(ToolchainError, match="no layer"):
        compress_model(nn.ReLU(), [{"method": "magnitude_pruning", "amount": 0.5}], where="recipe.toml")


def test_every_method_has_a_summary():
    assert list_methods()["magnitude_pruning"].startswith("set the weights")
