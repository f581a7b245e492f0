"""What one begins with: a checkpoint becomes weights, and nothing that is there is overwritten."""

import json

import pytest
import torch
from torch import nn

_MODEL = """
from torch import nn

def build(width=4):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))
"""
_RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "npz"
"""


@pytest.fixture
def folder(run, tmp_path):
    """Return the folder of a model without weights, which a checkpoint lies two folders above."""
    folder = tmp_path / "models" / "net"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(_MODEL)
    (folder / "recipe.toml").write_text(_RECIPE)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = {f"model.{name}": value.half() for name, value in net.state_dict().items() if value.is_floating_point()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "best.ckpt")
    return folder


def test_convert_says_what_it_did(run, folder):
    code, stdout, stderr = run("convert", "best.ckpt", "--model", "net", "--quiet")
    assert (code, stderr) == (0, "")
    said = [" ".join(line.split()) for line in stdout.splitlines()]
    assert said == [
        f"{folder / 'weights.safetensors'}: 7 tensors, all of the model's",
        "taken state_dict/model",
        "prefix model. removed",
        "types 6 of float16 to float32",
        "counters 1 num_batches_tracked are 0: the file has none",
        "left out epoch (int)",
    ]


def test_convert_for_machines_is_one_document(run, folder):
    code, stdout, stderr = run("convert", "best.ckpt", "--model", "net", "-o", "new.safetensors", "--json", "--quiet")
    assert (code, json.loads(stdout)["taken"]) == (0, "state_dict/model")
    assert "write new.safetensors into model.weights" in stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["best.ckpt"], 2, "--model"),
        (["none.ckpt", "--model", "net"], 2, "cannot be read"),
        ([".", "--model", "net"], 2, "a folder"),
        (["best.ckpt", "--model", "moon"], 2, "no model is called moon"),
        (["best.ckpt", "--model", "net", "-o", "new.pt"], 2, "ends with .safetensors"),
        (["best.ckpt", "--model", "net", "-o", "there.safetensors"], 2, "would overwrite"),
        (["best.ckpt", "--model", "net", "--take", "ema"], 2, "one of state_dict/model"),
        (["empty.ckpt", "--model", "net"], 23, "0 bytes"),
        (["other.ckpt", "--model", "net"], 23, "is of another model"),
    ],
)
def test_a_conversion_that_cannot_be_leaves_nothing(run, folder, tmp_path, arguments, code, message):
    (tmp_path / "empty.ckpt").touch()
    (tmp_path / "there.json").touch()
    torch.save({"0.weight": torch.ones(3)}, tmp_path / "other.ckpt")
    before = sorted(tmp_path.rglob("*"))
    found, stdout, stderr = run("convert", *arguments)
    assert (found, stdout) == (code, "")
    assert message in stderr
    assert "  fix: " in stderr
    assert [path for path in sorted(tmp_path.rglob("*")) if path.parent.name != "cache"] == before
