import hashlib
import json
from pathlib import Path

import pytest
import torch

from tests.objectives import make_scoring
from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.builder import build_model
from toolchain.module.fit import measure_metric, start_accelerator
from toolchain.module.forward import name_outputs
from toolchain.module.weights import load_weights
from toolchain.project.recipe import read_recipe

MODELS = Path(__file__).parents[2] / "models"
OF_PICTURES = ("mobilenet_v2", "resnet18", "resnet8")  # the others have their own tests, in test_task_models.py
RECIPES = sorted(path for name in OF_PICTURES for path in MODELS.glob(f"{name}/*.toml"))


# Of each model, a picture and what it makes of one: its outputs in their order.
SHAPES = {
    "mobilenet_v2": ((3, 224, 224), [(1000,)]),
    "resnet8": ((3, 32, 32), [(10,)]),
    "resnet18": ((3, 32, 32), [(10,)]),
    "detector": ((1, 96, 96), [(9, 24, 24), (9, 12, 12)]),
    "segmenter": ((1, 96, 96), [(6, 96, 96)]),
}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_builds_a_model_that_takes_its_pictures(path):
    picture, shapes = SHAPES[path.parent.name]
    with torch.inference_mode():
        outputs = name_outputs(build_model(read_recipe(path)).eval()(torch.zeros(2, *picture)))
    assert [tuple(output.shape) for output in outputs.values()] == [(2, *shape) for shape in shapes]


def test_resnet8_has_the_parameters_of_its_paper():
    model = build_model(read_recipe(MODELS / "resnet8/recipe.toml"))
    assert sum(parameter.numel() for parameter in model.parameters()) == 78_042


def test_the_small_stem_keeps_the_size_of_the_picture():
    model = build_model(read_recipe(MODELS / "resnet18/cifar10.toml"))
    with torch.inference_mode():
        assert model.maxpool(model.conv1(torch.zeros(1, 3, 32, 32))).shape == (1, 64, 32, 32)


def test_an_unknown_stem_is_a_usage_error(tmp_path):
    (tmp_path / "model.py").write_text((MODELS / "resnet18/model.py").read_text())
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[model]\nbuild = "model.py:build"\nbuild_options = { stem = "big" }\nweights = "w"\n[data]\nname = "npz"\n'
    )
    with pytest.raises(ToolchainError) as caught:
        build_model(read_recipe(path))
    assert caught.value.code is ExitCode.USAGE
    assert '"small"' in caught.value.found


def test_mobilenet_v2_says_how_to_bring_weights():
    recipe = read_recipe(MODELS / "mobilenet_v2/recipe.toml")
    path = recipe.folder / "weights.of.nobody.safetensors"
    with pytest.raises(ToolchainError) as caught:
        load_weights(build_model(recipe), path)
    assert caught.value.code is ExitCode.MISSING
    assert str(MODELS / "mobilenet_v2/README.md") in caught.value.fix


def test_the_weights_of_resnet8_reach_their_metric_offline():
    recipe = read_recipe(MODELS / "resnet8/recipe.toml")
    model = build_model(recipe)
    load_weights(model, recipe.folder / recipe.model.weights)
    dataset = load_dataset(recipe.data.name, recipe.data.options)
    value = measure_metric(model, dataset.evaluation, scoring=make_scoring(), accelerator=start_accelerator())
    assert value >= recipe.train.metric_min


def test_the_weights_of_resnet8_are_those_of_their_provenance():
    provenance = json.loads((MODELS / "resnet8/weights.json").read_text())
    content = (MODELS / "resnet8/weights.safetensors").read_bytes()
    assert provenance["weights_sha256"] == hashlib.sha256(content).hexdigest()
    assert provenance["metric"]["value"] >= 0.92
    assert provenance["metric"]["samples"] == 10_000
    assert provenance["command"] == "toolchain train resnet8"
