import pytest
from torch import nn

from toolchain.builder import build_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.recipe import read_recipe

MODEL = """
from torch import nn

def build(*, width: int = 4):
    if width < 1:
        raise ValueError("width: expected at least 1")
    return nn.Linear(width, 2)

def build_nothing():
    return None
"""


def write_recipe(folder, build="model.py:build", options="", model=MODEL):
    (folder / "model.py").write_text(model)
    path = folder / "recipe.toml"
    path.write_text(
        f'[model]\nbuild = "{build}"\nbuild_options = {{ {options} }}\nweights = "w"\n[data]\nname = "npz"\n'
    )
    return read_recipe(path)


def test_the_options_reach_the_function(tmp_path):
    model = build_model(write_recipe(tmp_path, options="width = 7"))
    assert isinstance(model, nn.Linear)
    assert model.in_features == 7


@pytest.mark.parametrize(
    "build", ["model.py", "model.py:", ":build", "model:build", "model.py:2", "none.py:build", "model.py:none"]
)
def test_a_builder_that_is_not_there_is_a_usage_error_that_names_the_key(tmp_path, build):
    with pytest.raises(ToolchainError) as caught:
        build_model(write_recipe(tmp_path, build=build))
    assert caught.value.code is ExitCode.USAGE
    assert "model.build" in caught.value.where


@pytest.mark.parametrize("options", ["wdth = 7", "width = 0"])
def test_an_option_that_does_not_fit_is_a_usage_error_that_names_it(tmp_path, options):
    with pytest.raises(ToolchainError) as caught:
        build_model(write_recipe(tmp_path, options=options))
    assert caught.value.code is ExitCode.USAGE
    assert "build_options" in caught.value.where
    assert options.split()[0] in caught.value.found


def test_a_function_that_returns_no_module_is_a_usage_error(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        build_model(write_recipe(tmp_path, build="model.py:build_nothing"))
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.found == "NoneType"


@pytest.mark.parametrize("model", ["import no_such_package", "def build(:"])
def test_a_file_that_cannot_be_imported_is_a_usage_error(tmp_path, model):
    with pytest.raises(ToolchainError) as caught:
        build_model(write_recipe(tmp_path, model=model))
    assert caught.value.code is ExitCode.USAGE
    assert "model.py" in caught.value.where


def test_a_recipe_of_an_onnx_file_has_no_model_to_build(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[model]\nonnx = "model.onnx"\n[data]\nname = "npz"\n')
    with pytest.raises(ToolchainError) as caught:
        build_model(read_recipe(path))
    assert caught.value.code is ExitCode.USAGE
