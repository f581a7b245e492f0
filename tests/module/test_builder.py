import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.builder import build_model
from toolchain.project.recipe import read_recipe

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


def test_a_misspelt_function_is_answered_with_the_nearest_of_the_file(tmp_path):
    with pytest.raises(ToolchainError) as near:
        build_model(write_recipe(tmp_path, build="model.py:biuld"))
    with pytest.raises(ToolchainError) as far:
        build_model(write_recipe(tmp_path, build="model.py:xyz"))
    assert near.value.fix == "write build"
    assert "define it there" in far.value.fix


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


FAILING = {
    "a missing package": ("import no_such_package", ExitCode.MISSING, "model.py:1", "pip install"),
    "a missing part of a package": ("import json.nothing", ExitCode.USAGE, "model.py:1", "version"),
    "a missing name": ("from json import nothing", ExitCode.USAGE, "model.py:1", "version"),
    "a misspelt module": ("import blcks", ExitCode.USAGE, "model.py:1", "did you mean blocks?"),
    "wrong syntax": ("x = 1\ndef build(:", ExitCode.USAGE, "model.py:2", "correct the line"),
    "a null byte": ("x = 1\n\0", ExitCode.USAGE, "model.py", "correct the line"),
    "an error": ("x = 1\n1 / 0", ExitCode.USAGE, "model.py:2", "correct the line"),
    "an error in a module beside it": ("import broken", ExitCode.USAGE, "broken.py:2", "correct the line"),
    "wrong syntax in a module beside it": ("import wrong", ExitCode.USAGE, "wrong.py:1", "correct the line"),
    "an end": ("import sys\nsys.exit(0)", ExitCode.USAGE, "model.py:2", "end the process"),
    "a builder that fails": ("def build():\n    return 1 / 0", ExitCode.USAGE, "model.py:2", "model.build_options"),
    "a builder that refuses": ("def build():\n    raise ValueError", ExitCode.USAGE, "model.py:2", "correct the line"),
    "a builder that ends": ("import sys\ndef build():\n    sys.exit()", ExitCode.USAGE, "model.py:3", "end the process"),
    "a builder that lacks a package": ("def build():\n    import nope", ExitCode.MISSING, "model.py:2", "pip install nope"),
    "a builder that raises what nobody expects": (
        "class Odd(BaseException): ...\ndef build():\n    raise Odd", ExitCode.USAGE, "model.py:3", "correct the line",
    ),
    "a builder that calls itself": ("def build():\n    return build()", ExitCode.USAGE, "model.py:2", "correct the line"),
    "a class": ("from torch import nn\nbuild = lambda: nn.Identity", ExitCode.USAGE, "model.build", "Identity(), an instance"),
    "a coroutine": ("async def build(): ...", ExitCode.USAGE, "model.build", "let it return the module"),
    "a generator": ("def build():\n    yield 1", ExitCode.USAGE, "model.build", "let it return the module"),
    "a builtin": ("build = dict", ExitCode.USAGE, "model.build", "let it return the module"),
    "no function": ("build = 5", ExitCode.USAGE, "model.build", None),
    "no memory": (
        "import torch\ndef build():\n    return torch.nn.Linear(2, 2, device='meta')",
        ExitCode.USAGE, "model.build: weight", "to_empty",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("kind", FAILING)
def test_a_file_that_builds_no_model_is_refused_with_its_line_and_the_fix(tmp_path, kind):
    model, code, where, fix = FAILING[kind]
    (tmp_path / "blocks.py").write_text("width = 4\n")
    (tmp_path / "broken.py").write_text("x = 1\nx.nothing\n")
    (tmp_path / "wrong.py").write_text("def (\n")
    with pytest.raises(ToolchainError) as caught:
        build_model(write_recipe(tmp_path, model=model))
    assert caught.value.code is code
    assert where in caught.value.where
    assert fix is None or fix in caught.value.fix


def test_what_a_builder_prints_is_not_on_stdout(tmp_path, capsys):
    model = "from torch import nn\nprint('import')\ndef build():\n    print('build')\n    return nn.Identity()\n"
    build_model(write_recipe(tmp_path, model=model))
    assert capsys.readouterr() == ("", "import\nbuild\n")


def test_what_a_builder_changes_in_the_process_is_undone(tmp_path):
    model = """
import os, sys, torch
from torch import nn
def build():
    os.chdir("/")
    sys.path.append("/nowhere")
    sys.argv.append("more")
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    return nn.Linear(2, 2)
"""
    before = (Path.cwd(), list(sys.path), list(sys.argv), torch.get_default_dtype(), torch.is_grad_enabled())
    assert build_model(write_recipe(tmp_path, model=model)).weight.dtype is torch.float64
    assert (Path.cwd(), sys.path, sys.argv, torch.get_default_dtype(), torch.is_grad_enabled()) == before


def write_files(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return write_recipe(folder, model=(folder / "model.py").read_text())


BUILD = "from torch import nn\ndef build():\n    return nn.Linear(width, 2)\n"
SEVERAL_FILES = {
    "a module beside it": {"model.py": "from blocks import width\n", "blocks.py": "width = 4\n"},
    "a relative module": {"model.py": "from .blocks import width\n", "blocks.py": "width = 4\n"},
    "a relative module by its name": {
        "model.py": "from . import blocks\nwidth = blocks.width\n",
        "blocks.py": "width = 4\n",
    },
    "a package": {
        "model.py": "from parts.blocks import width\n",
        "parts/__init__.py": "",
        "parts/blocks.py": "from .sizes import width\n",
        "parts/sizes.py": "width = 4\n",
    },
    "a folder without __init__": {"model.py": "from parts.blocks import width\n", "parts/blocks.py": "width = 4\n"},
    "in a package": {
        "model.py": "from .blocks import width\n",
        "blocks.py": "width = 4\n",
        "__init__.py": "from .model import build\n",
    },
    "an import when it builds": {
        "model.py": "def __getattr__(name): ...\n",
        "blocks.py": "width = 4\n",
    },
    "a name of an installed package": {"model.py": "from rich import width\n", "rich.py": "width = 4\n"},
    "a name of a module of the tests": {"model.py": "from tests.x import width\n", "tests/__init__.py": "", "tests/x.py": "width = 4\n"},
    "a module that imports another": {
        "model.py": "from blocks import width\n",
        "blocks.py": "import sizes\nwidth = sizes.width\n",
        "sizes.py": "width = 4\n",
    },
    "its own path": {
        "model.py": "import os, sys\nsys.path.insert(0, os.path.dirname(__file__) + '/deep')\nfrom blocks import width\n",
        "deep/blocks.py": "width = 4\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SEVERAL_FILES)
def test_a_model_of_several_files_is_built_and_leaves_no_module_behind(tmp_path, kind):
    files = dict(SEVERAL_FILES[kind])
    late = kind == "an import when it builds"
    files["model.py"] += BUILD.replace("    return", "    from blocks import width\n    return") if late else BUILD
    rich, tests = sys.modules.get("rich"), sys.modules["tests"]
    before = {name for name in sys.modules if name.partition(".")[0] in ("blocks", "parts", "sizes", "rich", "tests")}
    for _ in range(2):
        assert build_model(write_files(tmp_path, files)).in_features == 4
    assert sys.modules.get("rich") is rich
    assert sys.modules["tests"] is tests
    after = {name for name in sys.modules if name.partition(".")[0] in ("blocks", "parts", "sizes", "rich", "tests")}
    assert after == before


@pytest.mark.parametrize("relative", ["", "."])
def test_two_models_with_modules_of_one_name_are_not_mixed_up(tmp_path, relative):
    for name, width in (("one", 3), ("two", 5)):
        files = {"model.py": f"from {relative}blocks import width\n{BUILD}", "blocks.py": f"width = {width}\n"}
        write_files(tmp_path / name / "net", files)
    recipes = [read_recipe(tmp_path / name / "net" / "recipe.toml") for name in ("one", "two", "one")]
    assert [build_model(recipe).in_features for recipe in recipes] == [3, 5, 3]


def test_a_file_that_is_a_link_finds_the_modules_beside_the_link(tmp_path):
    for name, width in (("one", 3), ("two", 5)):
        write_files(
            tmp_path / name, {"model.py": f"from blocks import width\n{BUILD}", "blocks.py": f"width = {width}\n"}
        )
    (tmp_path / "two" / "model.py").unlink()
    (tmp_path / "two" / "model.py").symlink_to(tmp_path / "one" / "model.py")
    assert build_model(read_recipe(tmp_path / "two" / "recipe.toml")).in_features == 5


def test_a_file_in_another_folder_than_the_recipe_finds_the_modules_beside_it(tmp_path):
    write_files(tmp_path / "code", {"model.py": f"from blocks import width\n{BUILD}", "blocks.py": "width = 4\n"})
    (tmp_path / "net").mkdir()
    recipe = write_recipe(tmp_path / "net", build="../code/model.py:build")
    assert build_model(recipe).in_features == 4


def test_a_changed_module_is_read_again(tmp_path):
    recipe = write_files(tmp_path, {"model.py": f"from blocks import width\n{BUILD}", "blocks.py": "width = 4\n"})
    assert build_model(recipe).in_features == 4
    (tmp_path / "blocks.py").write_text("width = 5\n")  # of the same length, within the same second
    assert build_model(recipe).in_features == 5


def test_a_recipe_of_an_onnx_file_has_no_model_to_build(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[model]\nonnx = "model.onnx"\n[data]\nname = "npz"\n')
    with pytest.raises(ToolchainError) as caught:
        build_model(read_recipe(path))
    assert caught.value.code is ExitCode.USAGE
