"""The models for scenes of garments: their weights, a deploy of each on a part of its data, and NVIDIA's parser."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import onnx
import pytest

from tests.lower.conftest import lower  # noqa: F401 - a fixture
from tests.models.test_models import MODELS as FOLDER
from tests.tiny_project import Project
from toolchain.data import load_dataset
from toolchain.module.builder import build_model
from toolchain.module.export import export_onnx
from toolchain.module.fit import measure_metric, start_accelerator
from toolchain.module.weights import load_weights
from toolchain.optimize import optimize
from toolchain.project.find import find_recipe
from toolchain.tasks.scoring import load_scoring

# Of each model, the metric that its weights are for, and what they reach at the least.
MODELS = {"detector": ("map50", 0.80), "segmenter": ("miou", 0.75)}
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
    metric, least = MODELS[name]
    recipe = find_recipe(name)
    recipe = recipe.model_copy(update={"task": recipe.task.model_copy(update={"metric": metric})})
    dataset = load_dataset("garment_scenes", {**recipe.data.options, "evaluation_scenes": SCENES})
    value = measure_metric(
        load_model(recipe), dataset.evaluation, scoring=load_scoring(recipe), accelerator=start_accelerator()
    )
    assert value >= least


@pytest.fixture(scope="module")
def scenes_project(tmp_path_factory):
    """Return a project with both models, which calibrate and are judged on a few scenes, for a board of no speed."""
    project = Project(folder=tmp_path_factory.mktemp("scenes"), cache=tmp_path_factory.mktemp("cache"))
    shutil.copytree(Path(__file__).parents[1] / "tiny/targets", project.folder / "targets")
    for name in MODELS:
        shutil.copytree(FOLDER / name, project.folder / "models" / name)
        recipe = project.folder / "models" / name / "recipe.toml"
        recipe.write_text(re.sub(r"^evaluation_samples.*\n", "", recipe.read_text(), flags=re.MULTILINE))
        project.edit(
            recipe, "options = { targets", "calibration_samples = 32\nevaluation_samples = 64\noptions = { targets"
        )
    return project


@pytest.mark.parametrize("name", MODELS)
def test_a_deploy_ships_int8_that_loses_little_of_the_metric(scenes_project, name):
    out = scenes_project.folder / name
    done = scenes_project.run("deploy", name, "--target", "board", "--out", out)
    assert done.code == 0, done.stderr
    report = scenes_project.read_report(out)
    assert report["precision"] == "int8"
    assert report["metric"]["samples"] == 64
    assert report["metric"]["drop"] <= 0.01
    assert report["placement"]["precision_share_macs"]["int8"] >= 0.85  # transposed convolutions have no int8 kernel


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_nvidias_parser_takes_it(name, precision, lower, tmp_path):  # noqa: F811
    pytest.importorskip("tensorrt_rtx")
    from toolchain.lower.tensorrt.rtx import check_parses

    recipe = find_recipe(name)
    samples = load_dataset("garment_scenes", recipe.data.options).calibration
    feeds = [samples.batch(index, index + 1) for index in range(8)]
    export_onnx(load_model(recipe), feeds[0], tmp_path / "exported.onnx")
    model = optimize(onnx.load(tmp_path / "exported.onnx"), feeds[:2]).model
    bound = [{model.graph.input[0].name: feed["input"]} for feed in feeds]
    check_parses(onnx.load(lower(model, bound, "jetson", precision) / "model.onnx"))
