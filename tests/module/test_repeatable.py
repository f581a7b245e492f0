"""A module whose output differs from run to run is told so; one that is only unusual is not."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.export import export_onnx
from toolchain.module.repeatable import check_repeatable

X = np.random.default_rng(0).standard_normal((16, 8), dtype=np.float32)


class Wrap(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.function(x)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


RANDOM = {
    "dropout": F.dropout,
    "dropout of channels": lambda x: F.dropout1d(x[:, None])[:, 0],
    "noise": lambda x: x + torch.randn_like(x),
    "a permutation": lambda x: x[:, torch.randperm(x.shape[1])],
    "a rare drop": lambda x: x * (torch.rand(x.shape) > 0.02),
    "python's generator": lambda x: x * random.random(),
    "numpy's generator": lambda x: x + float(np.random.normal()),  # noqa: NPY002
    "another key": lambda x: {f"key{random.random()}": x},
    "an integer": lambda x: (x, torch.randint(9, x.shape)),
    "an infinity": lambda x: torch.where(torch.rand(x.shape) > 0.5, x, -torch.inf),
}


@pytest.mark.parametrize("kind", RANDOM)
def test_a_model_that_differs_from_run_to_run_is_told_so_and_nothing_is_written(tmp_path, kind):
    with pytest.raises(ToolchainError) as caught:
        export_onnx(Wrap(RANDOM[kind]), {"x": X}, tmp_path / "model.onnx")
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.what == "the model's output differs from run to run"
    assert "training=self.training" in caught.value.fix
    assert not (tmp_path / "model.onnx").exists()


def test_the_message_names_the_line_that_draws():
    def run():
        return {"output": F.dropout(torch.tensor(X)).numpy()}

    with pytest.raises(ToolchainError) as caught:
        check_repeatable(run)
    assert f"{__file__}:{run.__code__.co_firstlineno + 1}" in caught.value.where
    assert "operator aten.bernoulli" in caught.value.where


def test_a_model_that_keeps_state_is_told_so(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        export_onnx(Counting(), {"x": X}, tmp_path / "model.onnx")
    assert "differs from run to run" in caught.value.what
    assert "keep no state" in caught.value.fix


STEADY = {
    "dropout in evaluation": nn.Dropout(0.5),
    "functional dropout in evaluation": Wrap(lambda x: F.dropout(x, training=False)),
    "a draw that shows nowhere": Wrap(lambda x: (torch.rand(3), x)[1]),
    "NaN": Wrap(torch.log),
    "infinities": Wrap(lambda x: torch.where(x > 0, x, -torch.inf)),
    "integers": Wrap(lambda x: x.argmax(1)),
}


@pytest.mark.parametrize("kind", STEADY)
def test_a_model_that_computes_the_same_every_time_is_exported(tmp_path, kind):
    export_onnx(STEADY[kind].eval(), {"x": X}, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").exists()


def test_the_check_leaves_the_generators_as_they_were():
    states = (torch.get_rng_state(), random.getstate())

    def run():
        return {"output": np.full(3, torch.rand(()).item() + random.random() > 9)}

    check_repeatable(run)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
