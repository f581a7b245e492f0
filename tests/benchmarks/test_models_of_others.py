import json

import numpy as np
import pytest

from benchmarks import models_of_others
from benchmarks.models_of_others import _MODELS, _RECIPES, PAGE, prepare_model
from toolchain.project.recipe import read_recipe

LINES_MAX = 30


@pytest.mark.parametrize("name", _MODELS)
def test_a_recipe_is_short_and_stands_in_the_page_as_it_is_or_is_its_neighbours(name):
    text = (_RECIPES / f"{name}.toml").read_text(encoding="utf-8")
    assert len(text.splitlines()) < LINES_MAX
    page = PAGE.read_text(encoding="utf-8")
    assert f"## {name}" in page or f", {name}" in page
    if name not in ("rnet", "onet"):  # they differ from pnet in names
        assert text in page


@pytest.mark.parametrize("name", _MODELS)
def test_a_recipe_names_members_that_are_there_and_boards_have(name, tmp_path, monkeypatch):
    class Maker:
        @staticmethod
        def make(folder, wheels):
            for part in ("calibrate", "evaluate"):
                np.savez(folder / f"{part}.npz", x=np.zeros((1, 1)))
            return {"<alphabet>": json.dumps("ab ")}

    monkeypatch.setattr(models_of_others, "import_module", lambda _name: Maker)
    monkeypatch.setattr("toolchain.project.members._named", {})
    monkeypatch.setattr("toolchain.agent.measure.members._files", {})
    recipe = prepare_model(name, tmp_path / name, tmp_path)
    assert read_recipe(recipe).metric_name is not None
    assert prepare_model(name, tmp_path / name, tmp_path / "elsewhere") == recipe
