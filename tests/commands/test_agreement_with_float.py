"""Models whose data has no labels, gated in their task's metric against the float model's own answers, by the real command."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.tiny_project import Project, deployed, draw_patterns, shared_cache, tiny

__all__ = ["deployed", "shared_cache", "tiny"]

TASK = '[task]\nmetric = "top1"\ntruth = "float"\n\n'


@pytest.fixture
def unlabelled(tiny, shared_cache, tmp_path):
    """Return a project whose data has no labels and whose recipe asks for none."""
    shutil.copytree(tiny, tmp_path / "project")
    project = Project(folder=tmp_path / "project", cache=shared_cache)
    np.savez(project.folder / "data" / "tiny.npz", input=draw_patterns(64, seed=2)[0])
    return project


def test_without_labels_the_metric_is_measured_of_the_float_models_answers_and_says_so_everywhere(unlabelled):
    unlabelled.edit_recipe("[data]\n", f"{TASK}[data]\n")
    result = unlabelled.deploy()
    unlabelled.assert_passed(result)
    report = unlabelled.read_report()
    metric, row = report["metric"], next(row for row in report["gates"] if row["name"] == "metric")
    assert (metric["name"], metric["truth"], metric["reference"]) == ("top1", "float", 1.0)
    assert metric["drop_upper"] > metric["drop"] >= 0
    assert row["measured"].startswith("agreement with float: top1 ")
    assert "agreement with float, top1" in result.stdout
    assert "agreement with float, top1" in (unlabelled.out / "report.html").read_text()
    assert unlabelled.run("verify", unlabelled.out / "bundle").code == 0


def test_without_labels_and_without_asking_for_it_nothing_is_compared_with_float(unlabelled):
    result = unlabelled.deploy()
    unlabelled.assert_stopped(result, 2, "usage")
    assert 'task.truth = "float"' in result.stderr


def test_a_float_model_that_answers_one_class_of_everything_is_no_truth(unlabelled):
    unlabelled.edit_recipe("[data]\n", f"{TASK}[data]\n")
    weights = load_file(unlabelled.weights)
    bias = next(name for name in weights if name.endswith(".bias") and weights[name].shape == (4,))
    weights[bias] = weights[bias] + np.array([0, 1e3, 0, 0], np.float32)
    save_file(weights, unlabelled.weights)
    result = unlabelled.deploy()
    unlabelled.assert_stopped(result, 2, "usage")
    assert "answers all samples alike" in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TASK.replace("top1", "recall_at_k"), "identity, which no model answers"),
        (TASK.replace("top1", "none"), "task.truth"),
        (TASK.replace("top1", "mae"), "set gates.metric_drop_max"),
        (TASK.replace('"float"', '"fload"'), "truth"),
    ],
)
def test_what_cannot_be_compared_with_the_float_model_is_refused(unlabelled, text, words):
    unlabelled.edit_recipe("[data]\n", f"{text}[data]\n")
    if "mae" in text:
        unlabelled.edit_recipe("metric_drop_max = 0.05", "")
    result = unlabelled.deploy()
    unlabelled.assert_stopped(result, 2, "usage")
    assert words in result.stderr
