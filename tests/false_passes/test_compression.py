"""Compression that said nothing while it lost, or did nothing: by the real command."""

import importlib.util

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toolchain.module.weights import load_weights

_HEAD = "import torch\nfrom torch import nn\nfrom torch.nn.utils.parametrizations import weight_norm\n"


@pytest.fixture
def bring(project):
    """Return a function that puts a model of this code, with its weights, and one entry of [[compress]] into the project."""

    def bring(code, entry):
        folder = project.folder / "models" / "tiny"
        (folder / "model.py").write_text(_HEAD + code)
        model = build(folder)
        tensors = {name: tensor.detach().clone().contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, folder / "weights.safetensors")
        project.edit_recipe("[gates]", f"[[compress]]\n{entry}\n\n[gates]")
        return model

    return bring


def build(folder):
    spec = importlib.util.spec_from_file_location("brought_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    return module.build().eval()


def compress(project):
    """Run the command; return how it ended, and the compressed model where it did not stop."""
    out = project.folder / "compressed.safetensors"
    result = project.run("compress", "tiny", "-o", out)
    assert "Traceback" not in result.stderr
    if result.code:
        assert not out.exists()
        return result, None
    model = build(project.folder / "models" / "tiny")
    load_weights(model, out)
    return result, model.eval()


def read_pictures(project):
    return torch.from_numpy(np.load(project.folder / "data" / "tiny.npz")["input"])


def test_writes_to_normalized_weights_are_not_lost(project, bring):
    code = """
def build():
    net = nn.Sequential(
        weight_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8), nn.ReLU(), weight_norm(nn.Conv2d(8, 8, 3)), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 4),
    )
    net[1].running_mean.uniform_(-1, 1)
    net[1].running_var.uniform_(0.1, 9)
    return net
"""
    model = bring(code, 'method = "equalization"')
    with torch.no_grad():
        expected = model(read_pictures(project))
        result, compressed = compress(project)
        assert (result.code, result.stderr) == (0, result.stderr)
        torch.testing.assert_close(compressed(read_pictures(project)), expected, rtol=1e-3, atol=1e-4)
    first, second = compressed[0].weight, compressed[3].weight
    ranges = first.abs().amax(dim=(1, 2, 3)), second.abs().amax(dim=(0, 2, 3))
    torch.testing.assert_close(*ranges, rtol=1e-3, atol=1e-5)


def test_what_a_method_leaves_out_is_said_each_time(project, bring):
    code = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.lstm, self.head = nn.Conv1d(3, 16, 9), nn.LSTM(16, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.lstm(self.line(x.flatten(2)).transpose(1, 2))[0].mean(1))

def build():
    return Net()
"""
    bring(code, 'method = "magnitude_pruning"\namount = 0.5\nscope = "layer"')
    for _ in range(2):  # made, and from the cache
        result, model = compress(project)
        assert result.code == 0
        assert "it cannot reach lstm.weight_ih_l0 (LSTM, 40.25%)" in result.stderr
    assert (model.line.weight == 0).float().mean() == 0.5
    assert not (model.lstm.weight_ih_l0 == 0).any()


_REFUSED = {
    "a method that reaches nothing": (
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(24, 4, batch_first=True)

    def forward(self, x):
        return self.lstm(x.permute(0, 2, 1, 3).flatten(2))[0].mean(1)

def build():
    return Net()
""",
        'method = "linear_quantization"\nbits = 4',
        (2, "usage", "linear_quantization finds no layer to work on", "lstm.weight_ih_l0 (LSTM)"),
    ),
    "an output that reads the weight that folding changes": (
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.norm.running_var.fill_(4.0)

    def forward(self, x):
        scores = self.head(self.norm(self.conv(x)).mean((2, 3)))
        return {"scores": scores, "penalty": x.mean((1, 2, 3)) + self.conv.weight.square().sum()}

def build():
    return Net()
""",
        'method = "kmeans_quantization"\nbits = 4',
        (18, "parity", "kmeans_quantization: folding batch normalization", "output penalty"),
    ),
    "a layer that keeps what it made of its weight": (
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.kept = nn.Linear(192, 4), None

    def forward(self, x):
        if self.kept is None:
            self.kept = self.head.weight.detach().clone()
        return nn.functional.linear(x.flatten(1), self.kept, self.head.bias)

def build():
    return Net()
""",
        'method = "magnitude_pruning"\namount = 0.5',
        (18, "parity", "magnitude_pruning: reading the compressed weights again", "output output"),
    ),
    "dropout left on": (
        """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(192, 4)

    def forward(self, x):
        return nn.functional.dropout(self.head(x.flatten(1)))

def build():
    return Net()
""",
        'method = "magnitude_pruning"\namount = 0.5',
        (2, "usage", "the model's output differs from run to run", "F.dropout(x, training=self.training)"),
    ),
}


@pytest.mark.parametrize("case", _REFUSED)
def test_nothing_is_compressed_where_it_would_be_a_lie(project, bring, case):
    code, entry, (exit_code, kind, *texts) = _REFUSED[case]
    bring(code, entry)
    result, _ = compress(project)
    assert (result.code, result.stderr) == (exit_code, result.stderr)
    for text in texts:
        assert text in result.stderr
    if exit_code == 2:
        project.assert_message(result.stderr, kind)
