from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.compress import read_entry
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import DataSection, ModelSection, Recipe, SearchSection, SearchStep, TrainSection
from toolchain.search.space import draw_entries, list_steps

PRUNING = {
    "method": "magnitude_pruning",
    "amount": {"low": 0.1, "high": 0.9, "step": 0.1},
    "scope": {"choices": ["global", "layer"]},
    "finetune": {"epochs": {"low": 1, "high": 3}, "learning_rate": {"low": 0.001, "high": 0.1, "log": True}},
}


def make_recipe(*alternatives, train=None, **options):
    steps = [SearchStep(name="pruning", alternatives=list(alternatives), **options)] if alternatives else []
    return Recipe(
        model=ModelSection(build="model.py:build", weights="w.safetensors"),
        data=DataSection(name="fashion_mnist"),
        train=train,
        search=SearchSection(steps=steps),
    ).at(Path("models/net/recipe.toml"))


@given(st.integers(0, 2**16))
def test_whatever_is_drawn_is_an_entry_that_its_method_takes(seed):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    steps = list_steps(make_recipe(PRUNING, {"method": "magnitude_pruning", "amount": 0.5}))
    entries = draw_entries(study.ask(), steps, where="")
    assert len(entries) <= 1
    for entry in entries:
        read_entry(entry, "recipe")
        assert 0.1 <= entry["amount"] <= 0.9
        assert entry["amount"] == round(entry["amount"], 1)  # so that equal amounts meet in the cache
        if "finetune" in entry:
            assert entry["finetune"]["epochs"] in (1, 2, 3)
            assert 0.001 <= entry["finetune"]["learning_rate"] <= 0.1


def test_a_step_that_is_not_optional_is_never_left_out():
    steps = list_steps(make_recipe(PRUNING, optional=False))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert all(len(draw_entries(study.ask(), steps, where="")) == 1 for _ in range(20))


@pytest.mark.parametrize("train", [None, TrainSection()])
def test_the_default_steps_are_entries_of_methods_that_there_are(train):
    steps = list_steps(make_recipe(train=train))
    assert {step.name for step in steps} >= {"pruning"}
    trains = [("finetune" in alternative) for step in steps for alternative in step.alternatives]
    assert any(trains) is (train is not None)


@pytest.mark.parametrize(
    ("alternative", "found"),
    [
        ({"method": "magic"}, "magic"),
        ({"method": "magnitude_pruning", "amount": {"low": 0.5, "high": 1.5}}, "1.5"),
        ({"method": "magnitude_pruning", "amount": {"low": 0.9, "high": 0.1}}, "0.9"),
        ({"method": "magnitude_pruning", "amount": {"low": 0.1, "high": 0.9, "step": 0}}, "step"),
        ({"method": "magnitude_pruning", "amount": {"low": 0, "high": 0.9, "log": True}}, "log"),
        ({"method": "magnitude_pruning", "amount": {"choices": []}}, "[]"),
        ({"method": "magnitude_pruning", "amount": {"low": "a", "high": 1}}, "'a'"),
    ],
)
def test_a_wrong_alternative_is_refused_before_any_trial(alternative, found):
    with pytest.raises(ToolchainError) as caught:
        list_steps(make_recipe(alternative))
    assert caught.value.code is ExitCode.USAGE
    assert "pruning" in str(caught.value)
    assert found in str(caught.value)


def test_two_steps_of_one_name_are_refused():
    step = SearchStep(name="a", alternatives=[{"method": "magnitude_pruning", "amount": 0.5}])
    recipe = make_recipe().model_copy(update={"search": SearchSection(steps=[step, step])})
    with pytest.raises(ToolchainError, match="one name"):
        list_steps(recipe)
