"""What has to hold of a model before any method works on it."""

import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net
from tests.compress.odd_nets import LeftOnDropout
from toolchain.compress import Draft
from toolchain.compress.prepare import prepare_draft
from toolchain.errors import ExitCode, ToolchainError


def test_a_plain_model_is_accepted_and_not_changed(material):
    net = build_net()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    prepare_draft(Draft(net), material)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_dropout_left_on_is_told_with_the_module_that_does_it(material):
    with pytest.raises(ToolchainError, match="differs from run to run") as caught:
        prepare_draft(Draft(LeftOnDropout()), material)
    assert caught.value.code is ExitCode.USAGE
    assert "noisy" in caught.value.where
    assert "training=self.training" in caught.value.fix


def test_dropout_that_evaluation_switches_off_is_accepted(material):
    prepare_draft(Draft(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.5))), material)


def test_a_model_that_counts_its_runs_is_told(material):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x):
            self.calls += 1
            return self.conv(x) * self.calls

    with pytest.raises(ToolchainError, match="differs from run to run"):
        prepare_draft(Draft(Counting()), material)


def test_a_model_for_other_samples_is_refused_with_what_it_said(material):
    with pytest.raises(ToolchainError, match="fails on the calibration samples") as caught:
        prepare_draft(Draft(nn.Linear(5, 2)), material)
    assert caught.value.code is ExitCode.USAGE
    assert "(3, 8, 8)" in caught.value.expected


def test_an_output_that_numpy_does_not_have_is_refused(material):
    class Brief(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).bfloat16()

    with pytest.raises(ToolchainError, match="no dtype that NumPy has") as caught:
        prepare_draft(Draft(Brief()), material)
    assert caught.value.code is ExitCode.USAGE
