from pathlib import Path

import pytest

from toolchain.agent.measure.settings import DEFAULTS
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import DataSection, ModelSection, Recipe
from toolchain.project.target import Target
from toolchain.search import SearchRequest, search_recipe


def refuse(tmp_path, **data):
    model = data.pop("model", ModelSection(build="model.py:build", weights="w.safetensors"))
    recipe = Recipe(model=model, data=DataSection(name="fashion_mnist_small", **data)).at(
        Path("models/net/recipe.toml")
    )
    target = Target(runtime="onnxruntime", precision=["int8"])
    request = SearchRequest(
        recipe=recipe, target=target, trials=1, storage=None, out=tmp_path / "out", settings=DEFAULTS
    )
    with pytest.raises(ToolchainError) as caught:
        search_recipe(request, open_progress=lambda folder: pytest.fail("a trial was begun"))
    assert caught.value.code is ExitCode.USAGE
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_an_onnx_file_is_not_searched(tmp_path):
    assert "an ONNX file is not compressed" in refuse(tmp_path, model=ModelSection(onnx="net.onnx"))


def test_without_a_metric_there_is_nothing_to_search_by(tmp_path):
    assert "data.metric" in refuse(tmp_path, metric="none")


def test_processes_that_train_together_do_not_search(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "WORLD_SIZE" in refuse(tmp_path)
