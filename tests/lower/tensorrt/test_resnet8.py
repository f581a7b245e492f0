"""What exactly the lowered graphs of a trained model return, against PyTorch, on the pictures of the verdict."""

import json

import numpy as np
import onnx
import pytest

from toolchain.agent.measure.parity import Parity
from toolchain.data import load_dataset
from toolchain.lower.trial import open_emulated
from toolchain.module.builder import build_model
from toolchain.module.export import export_onnx, run_pytorch
from toolchain.module.weights import load_weights
from toolchain.optimize import optimize
from toolchain.project.find import find_recipe

PICTURES = 2000


@pytest.fixture(scope="module")
def resnet8(tmp_path_factory):
    """Return the optimized model, the logits of PyTorch, the pictures and their labels."""
    recipe = find_recipe("resnet8")
    module = build_model(recipe)
    load_weights(module, recipe.folder / recipe.model.weights)
    data = load_dataset("fashion_mnist_small", {})
    calibration = [data.calibration.batch(index, index + 1) for index in range(64)]
    path = tmp_path_factory.mktemp("resnet8") / "exported.onnx"
    export_onnx(module.eval(), calibration[0], path)
    model = optimize(onnx.load(path), calibration[:2]).model
    pictures = data.evaluation.batch(0, PICTURES)
    return (
        model,
        calibration,
        run_pytorch(module, pictures)["output"],
        pictures,
        data.evaluation.targets["labels"][:PICTURES],
    )


def run_lowered(folder, pictures):
    model = onnx.load(folder / "model.onnx")
    return open_emulated(model, threads=2).run(pictures)["output"]


def test_float16_has_a_cosine_of_at_least_0_9999(resnet8, lower):
    model, calibration, expected, pictures, _ = resnet8
    parity = Parity()
    parity.add({"output": expected}, {"output": run_lowered(lower(model, calibration, "jetson", "fp16"), pictures)})
    (row,) = parity.summarize()
    assert row.cosine >= 0.9999
    assert row.sqnr_db >= 50


def test_int8_loses_at_most_half_a_point_of_accuracy_with_every_layer_in_int8(resnet8, lower):
    model, calibration, expected, pictures, labels = resnet8
    folder = lower(model, calibration, "jetson", "int8")
    document = json.loads((folder / "lowering.json").read_text(encoding="utf-8"))
    assert document["held_back"] == []
    logits = run_lowered(folder, pictures)
    drop = np.mean(expected.argmax(axis=1) == labels) - np.mean(logits.argmax(axis=1) == labels)
    assert drop <= 0.005
