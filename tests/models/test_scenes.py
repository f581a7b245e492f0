"""The models for scenes of garments: their weights, a deploy of each on a part of its data, and NVIDIA's parser."""

import hashlib
import importlib.util
import json

import onnx
import pytest

from tests.tiny_project import run_toolchain
from toolchain.data import load_dataset
from toolchain.module.builder import build_model
from toolchain.module.export import export_onnx
from toolchain.module.fit import measure_metric, start_accelerator
from toolchain.module.weights import load_weights
from toolchain.optimize import optimize
from toolchain.project.find import find_recipe
from toolchain.tasks.scoring import load_scoring

# The model, its metric, and what its weights reach at the least: on 2,000 scenes, and on the first 100.
MODELS = {"detector": ("map50", 0.80, 0.80), "segmenter": ("miou", 0.75, 0.75)}
SCENES = 100
WEIGHTS_BYTES_MAX = 1_000_000


def load_model(recipe):
    model = build_model(recipe)
    load_weights(model, recipe.folder / recipe.model.weights)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_its_weights_are_those_of_their_provenance_and_small(name):
    recipe = find_recipe(name)
    provenance = json.loads((recipe.folder / "weights.json").read_text())
    content = (recipe.folder / recipe.model.weights).read_bytes()
    assert provenance["weights_sha256"] == hashlib.sha256(content).hexdigest()
    assert provenance["command"] == f"toolchain train {name}"
    assert provenance["metric"]["value"] >= recipe.train.metric_min
    assert len(content) <= WEIGHTS_BYTES_MAX


@pytest.mark.parametrize("name", MODELS)
def test_its_weights_reach_their_metric_offline(name):
    metric, _, least = MODELS[name]
    recipe = find_recipe(name)
    recipe = recipe.model_copy(update={"task": recipe.task.model_copy(update={"metric": metric})})
    dataset = load_dataset("garment_scenes", {**recipe.data.options, "evaluation_scenes": SCENES})
    value = measure_metric(
        load_model(recipe), dataset.evaluation, scoring=load_scoring(recipe), accelerator=start_accelerator()
    )
    assert value >= least
