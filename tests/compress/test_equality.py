"""A step that claims to change nothing is held to it, on real samples."""

import pytest
import torch
from torch import nn

from tests.compress.odd_nets import Outputs
from toolchain.compress import Draft
from toolchain.compress.equality import check_equal, must_stay_equal
from toolchain.errors import ExitCode, ToolchainError


def build_heads():
    torch.manual_seed(0)
    return Outputs("dict").eval()


def test_an_equal_model_passes(material):
    draft = Draft(build_heads())
    with must_stay_equal(draft, material, step="test: nothing"), torch.no_grad():
        draft.model.a.weight.mul_(1 + 1e-6)  # rounding


def test_a_real_difference_names_the_step_and_the_output(material):
    draft = Draft(build_heads())
    with (
        pytest.raises(ToolchainError, match="test: scaling") as caught,
        must_stay_equal(draft, material, step="test: scaling"),
        torch.no_grad(),
    ):
        draft.model.aux.weight.mul_(1.01)
    assert caught.value.code is ExitCode.PARITY
    assert caught.value.where == "output aux"


def test_a_model_that_does_not_run_any_more_is_refused(material):
    broken = build_heads()
    broken.b = nn.Conv2d(5, 16, 3)
    with pytest.raises(ToolchainError, match="ran before it and does not after it") as caught:
        check_equal(build_heads(), broken, material, step="test")
    assert caught.value.code is ExitCode.PARITY


class Amplifying(nn.Module):
    """A picture's first value, and a hundred times the rounding of the sum of all."""

    def __init__(self, *, flipped, shift=0.0):
        super().__init__()
        self.flipped = flipped
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        x = x.flatten(1)
        total = (x.flip(1) if self.flipped else x).cumsum(1)[:, -1]
        return x[:, 0] + 100 * (total - x.double().sum(1).to(x.dtype)) + self.shift


def test_a_model_that_amplifies_rounding_is_judged_by_its_own_rounding(material):
    check_equal(Amplifying(flipped=False), Amplifying(flipped=True), material, step="test")
    with pytest.raises(ToolchainError, match="more than rounding"):
        check_equal(Amplifying(flipped=False), Amplifying(flipped=True, shift=0.1), material, step="test")


def test_channels_that_are_zero_and_yet_count_are_not_removed_in_silence(compress):
    """A sigmoid makes a half of a channel that is zero."""
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Sigmoid(), nn.Conv2d(16, 2, 6), nn.Flatten()
    ).eval()  # fmt: skip
    net[1].weight.data[:8] = 0
    net[1].bias.data[:8] = 0
    training = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3}
    with pytest.raises(ToolchainError, match="channel_sparsity: removing the channels of 0") as caught:
        compress(net, method="channel_sparsity", sparsify=training, strength=50.0)
    assert caught.value.code is ExitCode.PARITY
