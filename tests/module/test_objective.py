"""What a recipe's model learns: its task's loss, or one of the user's own."""

from __future__ import annotations

import pytest
import torch

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.objective import load_objective
from toolchain.project.recipe import read_recipe

LEAST = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "npz"
options = { path = "data.npz" }
"""


@pytest.fixture
def load(tmp_path):
    """Return what loads the objective of a recipe with this [task], and this loss.py beside it."""

    def load(task, loss="", **options):
        (tmp_path / "model.py").write_text("")
        (tmp_path / "loss.py").write_text(loss)
        (tmp_path / "recipe.toml").write_text(LEAST + task)
        return load_objective(read_recipe(tmp_path / "recipe.toml"), **options)

    return load


SCORES = {"output": torch.tensor([[4.0, 0.0], [0.0, 2.0]])}
LABELS = {"labels": torch.tensor([0, 1])}


def test_a_recipe_without_a_task_learns_to_classify(load):
    objective = load("")
    assert objective.targets == ("labels",)
    assert objective.loss(SCORES, LABELS).item() == pytest.approx(0.0725, abs=1e-3)


def test_the_label_smoothing_of_a_training_is_taken_where_the_task_says_none(load):
    smoothed = load("[task]\noptions = { label_smoothing = 0.2 }").loss(SCORES, LABELS)
    assert load("", label_smoothing=0.2).loss(SCORES, LABELS) == smoothed
    assert load("[task]\noptions = { label_smoothing = 0.2 }", label_smoothing=0.4).loss(SCORES, LABELS) == smoothed
    assert load("", label_smoothing=0.0).loss(SCORES, LABELS) < smoothed


def test_a_loss_of_the_users_own_gets_outputs_and_targets_by_name(load):
    own = load(
        '[task]\nloss = "loss.py:compute"\ntargets = ["weight"]',
        "def compute(outputs, targets):\n    return (outputs['output'] * targets['weight']).sum()\n",
    )
    assert own.targets == ("weight",)
    assert own.loss(SCORES, {"weight": torch.tensor([[1.0, 0.0], [0.0, 10.0]])}).item() == 24.0
    assert not own.allows_augmentation


@pytest.mark.parametrize(
    ("task", "loss", "expected"),
    [
        ('loss = "loss.py:compute"', "def compute(outputs, targets):\n    return outputs['output']\n", "one element"),
        ('loss = "loss.py:compute"', "def compute(outputs, targets):\n    return 3.0\n", "one element"),
    ],
)
def test_a_loss_that_is_no_number_is_refused(load, task, loss, expected):
    with pytest.raises(ToolchainError) as caught:
        load(f"[task]\n{task}", loss).loss(SCORES, LABELS)
    assert caught.value.code is ExitCode.USAGE
    assert expected in caught.value.expected


@pytest.mark.parametrize(
    ("task", "where"),
    [
        ('name = "clasification"', "task.name"),
        ("options = { smoothing = 1.0 }", "task.options"),
        ('loss = "loss.py:nothing"', "task.loss"),
        ('loss = "nothing.py:compute"', "task.loss"),
        ('loss = "loss.py:compute"\noptions = { label_smoothing = 0.1 }', "task.options"),
        ('targets = ["labels"]', "task.targets"),
        ("nmae = 1", "task"),
    ],
)
def test_a_task_that_is_wrong_is_refused_by_its_key(load, task, where):
    with pytest.raises(ToolchainError) as caught:
        load(f"[task]\n{task}", "def compute(outputs, targets):\n    return outputs['output'].sum()\n")
    assert caught.value.code is ExitCode.USAGE
    assert where in caught.value.where
    assert caught.value.fix
