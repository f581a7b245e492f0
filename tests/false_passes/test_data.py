"""Data that cannot prove anything does not pass: by the real command, each beside the data that does."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from tests.conftest import build_model
from tests.tiny_project import SAMPLES, draw_patterns

COLOURS = {"blue": (20, 20, 220), "green": (20, 220, 20), "red": (220, 20, 20)}

# Scores 5 classes by the mean of each channel: blue, green, red, and two that no colour is.
COLOUR_NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Conv2d(3, OUTPUTS, 1)

    def forward(self, x):
        return self.scores(x).mean((2, 3))

def build():
    return Net()
"""

COLOUR_RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "image_folder"
options = { folder = "../../pictures", size = 8, mean = [0, 0, 0], std = [1, 1, 1] }
calibration_samples = 16
[quantize]
choose_by_measurement = false
[gates]
metric_drop_max = 0.05
"""


def write_data(project, name="tiny", **arrays):
    np.savez(project.folder / "data" / f"{name}.npz", **arrays)
    return project.folder / "data" / f"{name}.npz"


def write_onnx(project):
    """Write a classifier whose input is called `input`."""
    (project.folder / "net.onnx").write_bytes(build_model("float32"))


def write_colours(project, outputs):
    """Write pictures of three colours and a model that knows them, with so many outputs."""
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, colour in COLOURS.items():
            folder = project.folder / "pictures" / part / name
            folder.mkdir(parents=True)
            for index in range(10):
                pixels = np.clip(np.array(colour) + generator.normal(scale=20, size=(9, 9, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    folder = project.folder / "models" / "colours"
    folder.mkdir()
    (folder / "model.py").write_text(COLOUR_NET.replace("OUTPUTS", str(outputs)))
    (folder / "recipe.toml").write_text(COLOUR_RECIPE)
    weight = np.zeros((outputs, 3, 1, 1), np.float32)
    for output in range(min(outputs, 3)):
        weight[output, 2 - output] = 1
    save_file({"scores.weight": weight, "scores.bias": np.zeros(outputs, np.float32)}, folder / "weights.safetensors")


def deploy_onnx(project, data, *arguments):
    return project.run("deploy", "net.onnx", "--calibration", data, "--target", "board", "--out", "out", *arguments)


def assert_refused_early(project, result, code, kind, *words):
    """The command stopped before it exported, optimized or trained anything."""
    project.assert_stopped(result, code, kind)
    for word in words:
        assert word in result.stderr
    assert not (project.out / "bundle").exists()
    assert {line["stage"] for line in project.read_log()} <= {"evidence"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: labels + 1, ["0 to 3: the model has 4 outputs", "sample 3 has 4", "labels - 1"]),
        (lambda labels: np.where(labels == 3, -1, labels), ["sample 3 has -1", "16 of 64 samples"]),
        (lambda labels: labels + 0.5, ["float64", "sample 0 has 0.5"]),
        (lambda labels: labels[:-1], ["labels 63"]),
        (lambda labels: labels[:, None], ["(64, 1)"]),
    ],
    ids=["from one", "minus one", "fractions", "one too few", "a column"],
)
def test_labels_that_are_no_classes_of_the_model_are_refused(project, change, words):
    images, labels = draw_patterns(SAMPLES, seed=2)
    write_data(project, input=images, labels=change(labels))
    assert_refused_early(project, project.deploy(), 2, "usage", *words)


def test_a_folder_of_more_classes_than_outputs_is_refused(project):
    write_colours(project, outputs=2)
    result = project.run("deploy", "colours", "--target", "board")
    project.assert_stopped(result, 2, "usage")
    assert "pictures/test/red/0.png has 2 (red)" in result.stderr


def test_a_folder_of_fewer_classes_than_outputs_passes_and_its_order_is_in_doubt(project):
    write_colours(project, outputs=5)
    out = project.folder / "dist" / "colours" / "board"
    project.assert_passed(project.run("deploy", "colours", "--target", "board"), out)
    (warning,) = [text for text in project.read_report(out)["warnings"] if "in this order" in text]
    assert "3 classes and the model 5 outputs: class red counts as output 2" in warning


def spoil_weights(project):
    tensors = load_file(project.weights)
    generator = np.random.default_rng(1)
    save_file(
        {name: generator.normal(size=array.shape).astype(np.float32) for name, array in tensors.items()},
        project.weights,
    )


def shuffle_labels(project):
    images, labels = draw_patterns(1000, seed=2)
    write_data(project, input=images, labels=np.random.default_rng(5).permutation(labels))


def take_one_class(project):
    images, labels = draw_patterns(256, seed=2)
    write_data(project, input=images[labels == 1], labels=labels[labels == 1])


@pytest.mark.parametrize("spoil", [spoil_weights, shuffle_labels])
def test_a_float_model_that_is_not_better_than_chance_is_refused(project, spoil):
    spoil(project)
    result = project.deploy()
    assert_refused_early(project, result, 2, "usage", "the float model is not better than chance", "always answering")


def test_samples_of_one_class_prove_nothing_and_are_refused(project):
    take_one_class(project)
    assert_refused_early(
        project, project.deploy(), 2, "usage", "the samples are all of one class", "class 1 from sample 0"
    )


def test_a_float_model_that_returns_nan_is_told_so(project):
    # Finite weights whose products are infinite, and their sum none.
    tensors = load_file(project.weights)
    large = {name: tensors[name] * np.float32(1e30) for name in ("0.weight", "2.weight")}
    save_file({**tensors, **large}, project.weights)
    assert_refused_early(project, project.deploy(), 18, "parity", "the float model itself returns NaN")


def test_a_good_model_on_20_samples_passes_and_a_limit_finer_than_one_of_them_is_said(project):
    project.edit_recipe("calibration_samples = 32", "calibration_samples = 32\nevaluation_samples = 19")
    project.assert_passed(project.deploy())
    assert any("the metric's resolution is 1/19" in text for text in project.read_report()["warnings"])


@pytest.mark.parametrize("command", ["deploy", "train"])
def test_no_training_starts_for_data_that_has_no_labels_to_be_judged_by(project, command):
    images, labels = draw_patterns(SAMPLES, seed=1)
    write_data(project, "learn", input=images, labels=labels)
    write_data(project, "test", input=draw_patterns(SAMPLES, seed=2)[0])
    project.edit_recipe(
        'path = "../../data/tiny.npz"', 'path = "../../data/learn.npz", evaluation = "../../data/test.npz"'
    )
    project.edit_recipe("[quantize]", "[train]\nepochs = 1000\n[quantize]")
    project.weights.unlink()
    result = project.run(command, "tiny", *(["--target", "board"] if command == "deploy" else []))
    project.assert_stopped(result, 2, "usage")
    assert "labels" in result.stderr
    assert not project.weights.exists()
    # Of `train`, the file that a second one would find locked; nothing that was trained.
    assert {path.name for path in (project.weights.parent / "checkpoints").glob("*")} <= {"tiny.lock", ".lock"}


@pytest.mark.parametrize(
    ("arrays", "expected", "found"),
    [
        ({"image": np.float32}, "input", "image"),
        ({"input": np.float32, "mask": np.float32}, "the inputs input; the targets labels", "input, mask"),
        ({"input": np.int64}, "float32", "int64"),
    ],
    ids=["another name", "an array that nothing reads", "another type"],
)
def test_arrays_that_are_not_the_inputs_of_the_graph_are_refused(project, arrays, expected, found):
    write_onnx(project)
    images = draw_patterns(32, seed=2)[0]
    result = deploy_onnx(project, write_data(project, **{name: images.astype(kind) for name, kind in arrays.items()}))
    project.assert_stopped(result, 2, "usage", project.folder / "out")
    assert f"expected {expected}, found {found}" in result.stderr


SUM_OF_TWO = """
from torch import nn

class Net(nn.Module):
    def forward(self, first, second=None):
        return first if second is None else first - 2 * second

def build():
    return Net()
"""


@pytest.mark.parametrize(
    ("names", "code"), [(("first", "second"), 0), (("second", "first"), 0), (("first", "third"), 2)], ids=str
)
def test_several_arrays_are_called_as_the_parameters_of_a_module_or_refused(project, names, code):
    folder = project.folder / "models" / "tiny"
    (folder / "model.py").write_text(SUM_OF_TWO)
    save_file({}, project.weights)
    project.edit_recipe("metric_drop_max = 0.05", "")
    project.edit_recipe("calibration_samples = 32", 'calibration_samples = 32\nmetric = "none"')
    arrays = np.random.default_rng(0).normal(size=(2, SAMPLES, 4)).astype(np.float32)
    write_data(project, **dict(zip(names, arrays, strict=True)))
    result = project.deploy("--precision", "float32")
    if code == 0:
        project.assert_passed(result)
    else:
        assert_refused_early(project, result, 2, "usage", "expected first, second", f"found {', '.join(names)}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named(project, value):
    images, labels = draw_patterns(SAMPLES, seed=2)
    images[5, 0, 1, 1] = value
    write_data(project, input=images, labels=labels)
    assert_refused_early(project, project.deploy(), 2, "usage", f"found {value} in sample 5; 1 of 64 samples")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 3, 8, 8)), "4 samples, all zero"),
        (1 + 1e-7 * draw_patterns(32, seed=2)[0], "16 samples, the same but for rounding"),
        (np.repeat(draw_patterns(1, seed=2)[0], 32, axis=0), "16 samples, the same bytes each"),
        (np.tile(np.arange(32.0)[:, None, None, None], (1, 3, 8, 8)), "16 samples without any structure"),
        (draw_patterns(1, seed=2)[0], "1 sample"),
    ],
    ids=["zeros", "rounding", "copies", "one value each", "one sample"],
)
def test_samples_on_which_any_model_looks_right_make_the_measurement_invalid(project, images, words):
    write_onnx(project)
    result = deploy_onnx(project, write_data(project, input=images.astype(np.float32)))
    project.assert_stopped(result, 20, "measurement invalid", project.folder / "out")
    assert words in result.stderr


def test_one_file_calibrates_with_one_half_and_is_evaluated_on_the_other(project):
    write_onnx(project)
    images = draw_patterns(SAMPLES, seed=2)[0]
    out = project.folder / "out"
    project.assert_passed(deploy_onnx(project, write_data(project, input=images), "--precision", "float32"), out)
    manifest = json.loads((out / "bundle" / "manifest.json").read_text())
    assert manifest["golden"]["samples"] == SAMPLES // 2
    assert not any("also calibrated" in text for text in project.read_report(out)["warnings"])


def test_what_weakens_a_verdict_stands_in_the_report(project):
    images, labels = draw_patterns(SAMPLES, seed=2)
    images[1, 0, 0, 0] = 5000.0
    images[40:] = images[:24]
    write_data(project, input=images, labels=labels)
    project.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 0.9\nsqnr_db_min = { int8 = 1.0 }")
    result = project.deploy()
    project.assert_passed(result)
    warnings = " | ".join(project.read_report()["warnings"])
    assert "24 of 64 evaluation samples (38%) are copies of others" in warnings
    assert "56 of 64 evaluation samples (88%) also calibrated" in warnings
    assert "input input has outliers in the calibration data: sample 1 reaches 5000" in warnings
    assert "calibration sample 1 alone sets the int8 range of" in warnings
    assert "sample 1 reaches 5000" in " ".join(result.stderr.split() + result.stdout.split())
    assert "copies of others" in (project.out / "report.html").read_text()
