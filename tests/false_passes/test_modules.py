"""Modules and trainings that ended in a false success, in something else's result, or in a traceback."""

import re
import shutil
import signal
import time

import numpy as np
import onnx
import pytest

from tests.tiny_project import draw_patterns, train_tiny

MODEL = "models/tiny/model.py"
RETURN = "    return nn.Sequential(\n        nn.Conv2d(3, channels, 3, padding=1),"


def add_training(project, name, *lines):
    """Add a recipe tiny-NAME that trains on pictures that it is not evaluated on."""
    project.add_learner(name, 'method = "magnitude_pruning"\namount = 0.1')
    path = project.folder / "models" / "tiny" / f"{name}.toml"
    text = path.read_text().partition("[[compress]]")[0].replace("weights.safetensors", f"{name}.safetensors")
    path.write_text("\n".join([text, "[train]", "batch_size = 16", *lines, ""]))
    return path


def change_pooling(project, result):
    """Put a module of another forward in the place of the pooling, which has no weights."""
    project.edit(MODEL, "nn.AdaptiveAvgPool2d(1)", "Pool(1)")
    with (project.folder / MODEL).open("a") as stream:
        stream.write(f"\n\nclass Pool(nn.AdaptiveAvgPool2d):\n    def forward(self, x):\n        return {result}\n")


@pytest.mark.parametrize("command", ["export", "deploy"])
def test_a_builder_that_ends_the_process_does_not_end_it_with_success(project, command):
    project.edit(MODEL, RETURN, f"    raise SystemExit(0)\n{RETURN}")
    result = project.run(command, "tiny", *(["--target", "board"] if command == "deploy" else []))
    project.assert_stopped(result, 2, "usage")
    assert "model.py:8: found sys.exit(0)" in result.stderr


def test_a_random_output_is_said_before_the_exporter_is_blamed(project):
    change_pooling(project, "nn.functional.dropout(super().forward(x))")
    result = project.run("export", "tiny", "-o", "out.onnx")
    project.assert_stopped(result, 2, "usage")
    assert "the model's output differs from run to run" in result.stderr
    assert re.search(r"model\.py:\d+, operator aten\.bernoulli", result.stderr)
    assert "training=self.training" in result.stderr
    assert not (project.folder / "out.onnx").exists()


def test_a_changed_helper_module_is_no_cached_result(project):
    folder = project.folder / "models" / "tiny"
    (folder / "blocks.py").write_text("def scale(x):\n    return x * 1.5\n")
    project.edit(MODEL, "from torch import nn\n", "from blocks import scale\nfrom torch import nn\n")
    change_pooling(project, "scale(super().forward(x))")
    factors = []
    for factor in ("1.5", "2.5"):
        (folder / "blocks.py").write_text(f"def scale(x):\n    return x * {factor}\n")
        result = project.run("export", "tiny", "-o", f"{factor}.onnx")
        assert (result.code, result.stderr) == (0, result.stderr)
        graph = onnx.load(project.folder / f"{factor}.onnx").graph
        factors.append({float(onnx.numpy_helper.to_array(tensor).flat[0]) for tensor in graph.initializer})
    assert 2.5 in factors[1] - factors[0]


def test_a_teacher_and_a_student_with_helpers_of_one_name_are_not_mixed_up(project):
    models = project.folder / "models"
    shutil.copytree(models / "tiny", models / "big")
    for name, channels in (("tiny", 8), ("big", 12)):
        (models / name / "blocks.py").write_text(f"CHANNELS = {channels}\n")
        path = models / name / "model.py"
        text = path.read_text().replace("from torch import nn\n", "from blocks import CHANNELS\nfrom torch import nn\n")
        path.write_text(text.replace("channels: int = 8", "channels: int = CHANNELS"))
    train_tiny(models / "big" / "recipe.toml")
    entry = 'method = "distillation"\nteacher = "big"\nfinetune = { epochs = 1, batch_size = 16 }'
    project.add_learner("distilled", entry)
    result = project.run("compress", "models/tiny/distilled.toml", "-o", "out.safetensors")
    assert (result.code, result.stderr) == (0, result.stderr)


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_no_class_has_is_not_trained_on(project, label):
    path = add_training(project, "trained", "epochs = 1")
    images, labels = draw_patterns(64, seed=1)
    labels[5] = label
    np.savez(project.folder / "data" / "learn.npz", input=images, labels=labels)
    result = project.run("train", path)
    project.assert_stopped(result, 2, "usage")
    assert f"sample 5 has {label}" in result.stderr
    assert not path.with_suffix(".safetensors").exists()


def test_a_second_training_is_refused_and_a_killed_one_goes_on(project):
    path = add_training(project, "trained", "epochs = 400")
    checkpoint = path.parent / "checkpoints" / "tiny-trained.pt"
    first = project.start("train", path, "--quiet")
    while not checkpoint.exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.002)
    first.send_signal(signal.SIGSTOP)  # it holds the lock, and cannot finish
    try:
        second = project.run("train", path)
        project.assert_stopped(second, 17, "busy")
        assert "another training of tiny-trained is running" in second.stderr
        assert not path.with_suffix(".safetensors").exists()
    finally:
        first.kill()
        first.communicate()
    assert checkpoint.exists()
    third = project.run("train", path)
    assert (third.code, third.stderr) == (0, third.stderr)
    assert "epoch 1/400" not in third.stderr
    assert path.with_suffix(".safetensors").exists()
    assert not checkpoint.exists()
