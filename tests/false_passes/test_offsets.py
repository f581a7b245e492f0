"""Outputs whose SQNR says nothing: a large constant in them, a second one that no metric reads, one that never changes."""

import numpy as np
import onnx
from onnx import numpy_helper, parser

MODULE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head, self.more = nn.Linear(192, 64), nn.Linear(64, 4), nn.Linear(64, 8)

    def forward(self, x):
        hidden = torch.relu(self.stem(x.flatten(1)))
        return RESULT


def build():
    torch.manual_seed(0)
    return Net()
"""
RECIPE = """[model]
build = "model.py:build"
weights = "weights.safetensors"

[data]
name = "npz"
options = { path = "data.npz", split = true }
metric = "METRIC"

[[compress]]
method = "magnitude_pruning"
amount = AMOUNT
GATES"""
HEAD = '<ir_version: 8, opset_import: ["": 17]> '


def write_model(project, result, *, metric="none", amount=0.97, gates=""):
    """Write a recipe `net` that prunes; its labels are the module's own answers in its first output."""
    import torch
    from safetensors.torch import save_file

    folder = project.folder / "models" / "net"
    folder.mkdir()
    text = MODULE.replace("RESULT", result)
    (folder / "model.py").write_text(text)
    (folder / "recipe.toml").write_text(
        RECIPE.replace("METRIC", metric).replace("AMOUNT", str(amount)).replace("GATES", gates)
    )
    space = {}
    exec(compile(text, "model.py", "exec"), space)
    model = space["build"]()
    save_file(model.state_dict(), str(folder / "weights.safetensors"))
    x = np.random.default_rng(0).normal(size=(256, 3, 8, 8)).astype(np.float32)
    arrays = {"x": x}
    if metric != "none":
        with torch.no_grad():
            arrays["labels"] = next(iter(model(torch.from_numpy(x)).values())).argmax(dim=1).numpy()
    np.savez(folder / "data.npz", **arrays)


def deploy(project, model, *arguments):
    out = project.folder / "out"
    return project.run("deploy", model, "--target", "board", "--out", out, *arguments), out


def test_a_large_constant_hides_no_lost_answers(project):
    write_model(project, "self.head(hidden) + 1000.0")
    result, out = deploy(project, "net")
    report = project.assert_refused(result, 18, "fail", out)
    drift = report["drift"][0]
    assert drift["sqnr_db"] > 60
    assert drift["varying"]["varying_db"] < 3
    assert "of what differs between samples" in report["reasons"][0]


def test_the_same_model_is_proven_where_nothing_was_lost(project):
    write_model(project, "self.head(hidden) + 1000.0", amount=0.05)
    result, out = deploy(project, "net")
    project.assert_passed(result, out)
    assert project.read_report(out)["drift"][0]["varying"]["varying_db"] > 10


def test_an_output_that_the_metric_does_not_read_is_gated_by_its_drift(project):
    outputs = '{"scores": self.head(hidden), "place": self.more(hidden)}'
    write_model(project, outputs, metric="top1", amount=0.9, gates="\n[gates]\nmetric_drop_max = 1.0\n")
    result, out = deploy(project, "net")
    report = project.assert_refused(result, 18, "fail", out)
    assert "output place drifts from the model that was brought" in report["reasons"][0]
    assert next(gate for gate in report["gates"] if gate["name"] == "drift scores")["status"] == "skipped"


def test_a_model_that_answers_every_sample_alike_proves_nothing(project):
    graph = (
        """same (float[N, 8] x) => (float[N, 4] y) { h = Gemm<transB = 1>(x, w) z = Mul(h, zero) y = Add(z, one) }"""
    )
    model = parser.parse_model(HEAD + graph)
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(size=(4, 8)).astype(np.float32), "zero": np.float32(0), "one": np.float32(1)}
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items())
    onnx.save(model, project.folder / "same.onnx")
    np.savez(project.folder / "same.npz", x=rng.normal(size=(64, 8)).astype(np.float32))
    result, out = deploy(project, "same.onnx", "--calibration", "same.npz")
    report = project.assert_refused(result, 20, "invalid", out)
    assert "any constant passes" in report["reasons"][0]


def test_channels_that_are_lost_beside_louder_ones_are_named(project):
    graph = """rows (float[N, 8, 4, 4] x) => (float[N, 10, 4, 4] y) { y = Conv(x, w) }"""
    model = parser.parse_model(HEAD + graph)
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(10, 8, 1, 1)).astype(np.float32)
    weights[:4] *= 3000  # boxes in pixels, and scores beside them
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    onnx.save(model, project.folder / "rows.onnx")
    np.savez(project.folder / "rows.npz", x=rng.normal(size=(64, 8, 4, 4)).astype(np.float32))
    result, out = deploy(project, "rows.onnx", "--calibration", "rows.npz", "--precision", "int8")
    project.assert_passed(result, out)
    report = project.read_report(out)
    assert report["drift"][0]["varying"] == {**report["drift"][0]["varying"], "channels": 10, "lost": 6}
    named = "in 6 of the 10 channels (axis 1) of output y the error is as large as what differs between samples"
    assert any(named in warning for warning in report["warnings"])
    assert named in (out / "junit.xml").read_text()
