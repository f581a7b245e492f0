from toolchain.project.recipe import Recipe
from toolchain.search.results import relocate_recipe


def test_a_recipe_says_the_same_from_another_folder(tmp_path):
    document = {
        "model": {"build": "model.py:build", "weights": "weights.safetensors"},
        "data": {"name": "npz", "options": {"path": "data.npz"}, "metric": "my_metric.py:within_two"},
        "task": {"loss": "loss.py:compute", "metric": "top1"},
        "output": {"decode": "my_decoder.py:corners"},
    }
    recipe = Recipe.model_validate(document).at(tmp_path / "models" / "tiny" / "recipe.toml")
    moved = relocate_recipe(recipe, tmp_path / "best")
    place = "../models/tiny"
    assert moved["model"] == {"build": f"{place}/model.py:build", "weights": f"{place}/weights.safetensors"}
    assert (moved["data"]["metric"], moved["task"]["metric"]) == (f"{place}/my_metric.py:within_two", "top1")
    assert moved["task"]["loss"] == f"{place}/loss.py:compute"
    assert moved["output"]["decode"] == f"{place}/my_decoder.py:corners"
