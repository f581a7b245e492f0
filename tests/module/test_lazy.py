import numpy as np
import pytest
import torch
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.lazy import find_lazy, materialize

SAMPLE = {"input": np.ones((1, 3, 8, 8), dtype=np.float32)}


def make_lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))


def test_lazy_modules_get_the_shapes_of_a_sample_and_nothing_else_changes():
    model = make_lazy()
    materialize(model, SAMPLE)
    assert find_lazy(model) is None
    assert [type(module) for module in model] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten, nn.Linear]
    assert (model[0].in_channels, model[3].in_features) == (3, 144)
    assert model.training
    assert int(model[1].num_batches_tracked) == 0
    assert torch.equal(model[1].running_mean, torch.zeros(4))


def test_a_model_without_lazy_modules_does_not_run():
    class Never(nn.Module):
        def forward(self, _):
            raise AssertionError

    materialize(Never(), SAMPLE)


def test_a_sample_that_does_not_fit_is_a_usage_error():
    with pytest.raises(ToolchainError) as caught:
        materialize(nn.Sequential(nn.LazyConv2d(4, 9)), SAMPLE)
    assert caught.value.code is ExitCode.USAGE
    assert "float32(1, 3, 8, 8)" in caught.value.where


def test_a_lazy_module_that_never_runs_is_named():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.spare = nn.LazyConv2d(4, 3), nn.LazyLinear(3)

        def forward(self, x):
            return self.body(x)

    with pytest.raises(ToolchainError) as caught:
        materialize(Unused(), SAMPLE)
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.where == "module spare"
