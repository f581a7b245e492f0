"""Weights that are computed in every forward become plain ones before a method writes to them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from tests.compress.odd_nets import build_odd_net
from toolchain.compress import Draft
from toolchain.compress.computed_weights import bake_computed_weights
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.structure import is_computed
from toolchain.module.weights import load_weights, save_weights

PICTURES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
COMPUTED = (
    "weight_norm", "spectral_norm", "orthogonal", "old_weight_norm", "old_spectral_norm", "pruned_by_torch",
    "own_parametrization",
)  # fmt: skip


@pytest.mark.parametrize("name", COMPUTED)
@torch.no_grad()
def test_a_computed_weight_becomes_a_parameter_of_the_same_values(material, tmp_path, name):
    net = build_odd_net(name)
    before = net(PICTURES)
    draft = Draft(net)
    bake_computed_weights(draft, material, (PICTURES,))
    assert not any(is_computed(module) for module in net.modules())
    torch.testing.assert_close(net(PICTURES), before, rtol=1e-5, atol=1e-6)
    net[3].weight.zero_()  # what is written to it now stays
    net(PICTURES)
    assert not net[3].weight.any()
    path = tmp_path / "weights.safetensors"
    save_weights(net, path, {}, edits=draft.edits)
    fresh = build_odd_net(name)
    load_weights(fresh, path)
    assert torch.equal(fresh(PICTURES), net(PICTURES))


def test_a_plain_model_is_left_alone(material):
    net = build_odd_net("plain")
    weights = list(net.parameters())
    draft = Draft(net)
    bake_computed_weights(draft, material, (PICTURES,))
    assert draft.edits == ()
    assert all(one is other for one, other in zip(net.parameters(), weights, strict=True))


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm, nn.utils.spectral_norm])
def test_a_frozen_computed_weight_stays_frozen(material, wrap):
    net = nn.Sequential(wrap(nn.Conv2d(3, 4, 3)).requires_grad_(requires_grad=False), nn.Conv2d(4, 4, 3)).eval()
    bake_computed_weights(Draft(net), material, (PICTURES,))
    assert isinstance(net[0].weight, nn.Parameter)
    assert not net[0].weight.requires_grad
    assert net[1].weight.requires_grad


def test_a_weight_that_a_hook_of_the_users_own_sets_is_refused_by_name(material):
    layer = nn.Conv2d(3, 4, 3)
    values = layer.weight.detach().clone()
    del layer._parameters["weight"]
    layer.register_forward_pre_hook(lambda module, _: setattr(module, "weight", values * 2))
    layer.weight = values
    net = nn.Sequential(nn.ReLU(), layer)
    with pytest.raises(ToolchainError, match="the weight of 1 is computed in every forward") as caught:
        bake_computed_weights(Draft(net), material, (PICTURES,))
    assert caught.value.code is ExitCode.USAGE
    assert "register_parametrization" in caught.value.fix


class Standardized(nn.Conv2d):
    """As in NFNets: the convolution computes with another weight than its own."""

    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True), self.bias)


class Padded(nn.Conv2d):
    """As in ports of TensorFlow's nets: a padding of its own, the weight as it is."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


def test_a_layer_that_computes_with_another_weight_than_its_own_is_refused_by_name(material):
    with pytest.raises(ToolchainError, match="1 computes with another weight than its own") as caught:
        bake_computed_weights(Draft(nn.Sequential(nn.ReLU(), Standardized(3, 4, 3))), material, (PICTURES,))
    assert caught.value.code is ExitCode.USAGE


def test_a_layer_with_a_forward_of_its_own_that_uses_its_weight_is_accepted(material):
    bake_computed_weights(Draft(nn.Sequential(nn.ReLU(), Padded(3, 4, 3))), material, (PICTURES,))


class Drifting(nn.Module):
    """Another value at every call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, weight):
        self.calls += 1
        return weight * self.calls


def test_a_parametrization_whose_value_cannot_be_kept_is_refused(material):
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    parametrize.register_parametrization(net[0], "weight", Drifting())
    with pytest.raises(ToolchainError, match="parametrized weights") as caught:
        bake_computed_weights(Draft(net.eval()), material, (PICTURES,))
    assert caught.value.code is ExitCode.PARITY
