"""A module that mixes the samples of a batch is refused; one that only rounds otherwise alone is not."""

import numpy as np
import pytest
import torch
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.export import export_onnx
from toolchain.module.independent import check_independent

X = np.random.default_rng(0).standard_normal((16, 8), dtype=np.float32)


class Wrap(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


MIXING = {
    "batch statistics": nn.Sequential(nn.Unflatten(1, (2, 4)), nn.BatchNorm1d(2, track_running_stats=False)),
    "the mean of the batch": Wrap(lambda x: x - 0.1 * x.mean(0, keepdim=True)),
    "softmax along the batch": Wrap(lambda x: x.softmax(0)),
    "what came before it": Wrap(lambda x: x.cumsum(0)),
    "the sample after it": Wrap(lambda x: x + 0.1 * x.roll(-1, 0)),
    "a rank among the batch": Wrap(lambda x: x.argsort(0)),
    "a branch that the batch decides": Wrap(lambda x: torch.cond(x.sum() > 0, lambda v: v * 2, lambda v: v * 3, (x,))),
    "the largest of the batch": Wrap(lambda x: {"steady": x, "relative": x / x.abs().max()}),
}


@pytest.mark.parametrize("kind", MIXING)
def test_a_module_that_mixes_samples_is_refused_and_nothing_is_written(tmp_path, kind):
    with pytest.raises(ToolchainError) as caught:
        export_onnx(MIXING[kind].eval(), {"x": X}, tmp_path / "model.onnx")
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.what == "the model's answer for a sample depends on the samples beside it"
    assert "running_stats" in caught.value.fix
    assert not (tmp_path / "model.onnx").exists()


APART = {
    "stored statistics": nn.BatchNorm1d(8),
    "NaN": Wrap(torch.log),
    "infinities": Wrap(lambda x: torch.where(x > 0, x, -torch.inf)),
    "integers": Wrap(lambda x: x.argmax(1)),
    "an axis that squeeze takes away": Wrap(lambda x: x[:, :1].squeeze()),
    "nothing at all": Wrap(lambda x: x[:, :0]),
}


@pytest.mark.parametrize("kind", APART)
def test_a_module_that_answers_each_sample_by_itself_is_not_refused(kind):
    model = APART[kind].eval()

    def run(batch):
        with torch.no_grad():
            return {"output": model(torch.tensor(batch["x"])).numpy()}

    check_independent(run, {"x": X}, run({"x": X}))


def test_an_answer_that_rounds_otherwise_alone_is_not_refused():
    def run(batch):
        x = batch["x"]
        is_first = (x == X[0]).all(1, keepdims=True)  # of which the answer is nothing but rounding
        return {"output": np.where(is_first, x * (1e-6 if len(x) == 1 else 0), x)}

    check_independent(run, {"x": X}, run({"x": X}))


def test_a_batch_of_one_says_nothing():
    check_independent(pytest.fail, {"x": X[:1]}, {"output": X[:1]})
