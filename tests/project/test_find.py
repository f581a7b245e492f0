import os
from pathlib import Path

import numpy as np
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.find import find_bundle, find_recipe, find_target, list_models, list_targets
from toolchain.project.npz_file import read_arrays

RECIPE = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "npz"
options = { path = "OWN" }
"""

TARGET = """
runtime = "onnxruntime"
precision = ["int8", "float32"]
threads = 7
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a working project with a model and a target of its own, and one of each named like a built-in one."""
    for path in ("models/mine", "models/resnet8", "targets"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("models/mine/recipe.toml", "models/mine/small.toml", "models/resnet8/recipe.toml"):
        (tmp_path / path).write_text(RECIPE)
    for path in ("targets/mine.toml", "targets/cpu.toml"):
        (tmp_path / path).write_text(TARGET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refuse(call, *arguments, code=ExitCode.USAGE, **options):
    with pytest.raises(ToolchainError) as caught:
        call(*arguments, **options)
    assert caught.value.code == code
    return caught.value


def write_onnx(path):
    path.write_bytes(b"whatever: it is parsed by a later stage")
    return path


def test_built_in_models_and_targets_are_found_from_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert {"resnet8", "resnet18", "resnet18-cifar10", "mobilenet_v2"} <= list_models().keys()
    assert "cpu" in list_targets()
    assert find_recipe("resnet8").name == "resnet8"
    assert find_target("cpu").runtime == "onnxruntime"


def test_the_working_project_comes_before_what_is_built_in(project):
    assert list_models()["resnet8"] == project / "models" / "resnet8" / "recipe.toml"
    assert find_recipe("resnet8").data.options == {"path": "OWN"}
    assert list_targets()["cpu"] == project / "targets" / "cpu.toml"
    assert find_target("cpu").threads == 7


def test_the_models_of_the_project_stand_beside_the_built_in_ones_sorted(project):
    names = list(list_models())
    assert {"mine", "mine-small", "resnet8", "resnet18"} <= set(names)
    assert names == sorted(names)


def test_another_recipe_of_a_model_is_found_by_both_names(project):
    assert find_recipe("mine-small").path == project / "models" / "mine" / "small.toml"


def test_a_recipe_is_found_by_its_path(project):
    assert find_recipe("models/mine/recipe.toml").name == "mine"
    assert find_recipe(str(project / "models" / "mine" / "small.toml")).name == "mine-small"


def test_a_target_is_found_by_its_path(project):
    (project / "elsewhere.toml").write_text(TARGET)
    assert find_target("elsewhere.toml").name == "elsewhere"


def test_an_unknown_model_lists_the_known_and_the_nearest(project):
    error = refuse(find_recipe, "resnet81")
    assert error.found == "resnet81"
    assert "mine, mine-small, mobilenet_v2" in error.expected
    assert error.fix == "write resnet8"


def test_a_name_that_is_like_no_other_says_which_file_to_write(project):
    assert "models/zzz/recipe.toml" in refuse(find_recipe, "zzz").fix
    assert "targets/zzz.toml" in refuse(find_target, "zzz").fix


@pytest.mark.parametrize("word", ["models/mine", "models//mine", "./models/mine/"])
def test_a_folder_with_a_recipe_is_told_the_recipe(project, word):
    assert refuse(find_recipe, word).fix == "write models/mine/recipe.toml"


@pytest.mark.parametrize("word", ["models//zzz", "/zzz", "models/zzz\0"])
def test_a_path_to_nothing_is_told_what_a_path_is_of(project, word):
    assert "recipe.toml or of an .onnx file" in refuse(find_recipe, word).fix


def test_a_path_that_is_no_target_is_no_file_to_write_below_targets(project):
    assert "TOML file" in refuse(find_target, "/tmp").fix
    assert refuse(find_target, "targets/cpu").fix == "write cpu"


def test_a_path_that_ends_like_a_model_is_told_its_name(project):
    assert refuse(find_recipe, "models//mobilenet_v2/").fix == "write mobilenet_v2"


@pytest.mark.parametrize(("find", "kind"), [(find_recipe, "model"), (find_target, "target")])
def test_a_name_that_a_script_left_empty_is_no_file_to_write(project, find, kind):
    error = refuse(find, "")
    assert error.what == f"the {kind} has no name"
    assert "variable is empty" in error.fix


def test_an_unknown_target_lists_the_known(project):
    error = refuse(find_target, "cpus")
    assert "cpu, cpu-arm64" in error.expected
    assert error.fix == "write cpu"
    assert "mine" in error.expected


def test_a_target_is_narrowed_to_a_precision_that_it_lists(project):
    assert find_target("mine", precision="float32").precision == ["float32"]
    error = refuse(find_target, "mine", precision="fp16")
    assert (error.expected, error.found) == ("one of int8, float32", "fp16")
    assert str(project / "targets" / "mine.toml") in error.fix


def test_an_onnx_file_without_calibration_data_is_refused(project):
    write_onnx(project / "net.onnx")
    error = refuse(find_recipe, "net.onnx")
    assert error.where == "--calibration"
    assert "random ones prove nothing" in error.fix


def test_an_onnx_file_that_is_not_there_is_refused_before_its_data_is_read(project):
    error = refuse(find_recipe, "net.onnx", calibration=project / "none.npz")
    assert "net.onnx does not exist" in error.what


def test_missing_calibration_data_is_exit_3(project):
    write_onnx(project / "net.onnx")
    refuse(find_recipe, "net.onnx", calibration=project / "none.npz", code=ExitCode.MISSING)


@pytest.mark.parametrize("labelled", [True, False])
def test_an_onnx_file_is_judged_by_top_1_where_its_data_has_labels(project, labelled):
    arrays = {"input": np.zeros((4, 3), np.float32)} | ({"labels": np.zeros(4, np.int64)} if labelled else {})
    np.savez(project / "data.npz", **arrays)
    path = write_onnx(project / "net.onnx")
    recipe = find_recipe("net.onnx", calibration=project / "data.npz")
    assert recipe.metric_name == ("top1" if labelled else None)
    assert (recipe.name, recipe.folder / recipe.model.onnx) == ("net", path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_calibration_data_that_is_no_file_is_not_called_missing(project, make):
    (project / "net.onnx").touch()
    make(project / "odd.npz")
    path = find_recipe("net.onnx", calibration=project / "odd.npz").data.options["path"]
    with pytest.raises(ToolchainError, match=r"it is a (pipe|folder), and no file") as caught:
        read_arrays(Path(path))
    assert caught.value.code == ExitCode.MALFORMED


def test_calibration_data_beside_a_recipe_is_refused(project):
    error = refuse(find_recipe, "mine", calibration=project / "data.npz")
    assert error.where == "--calibration"
    assert "[data]" in error.fix


@pytest.mark.parametrize("odd", ["model", "target", "onnx", "data"])
def test_a_path_that_is_no_utf_8_is_refused(project, odd):
    folder = project / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    if odd == "model":
        error = refuse(find_recipe, str((project / "models/mine/recipe.toml").rename(folder / "recipe.toml")))
    elif odd == "target":
        error = refuse(find_target, str((project / "targets/mine.toml").rename(folder / "mine.toml")))
    else:
        np.savez(project / "data.npz", input=np.zeros((4, 3), np.float32))
        write_onnx(project / "net.onnx")
        name = {"onnx": "net.onnx", "data": "data.npz"}[odd]
        (project / name).rename(folder / name)
        paths = {"net.onnx": project / "net.onnx", "data.npz": project / "data.npz", name: folder / name}
        error = refuse(find_recipe, str(paths["net.onnx"]), calibration=paths["data.npz"])
    assert "is no UTF-8" in error.what
    assert "caf\\xe9" in error.where


def test_a_bundle_is_a_folder_with_a_manifest_and_whatever_else_a_word_is_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("resnet8", "theirs", "empty"):
        (tmp_path / name).mkdir()
    for name in ("resnet8", "theirs"):
        (tmp_path / name / "manifest.json").write_text("{}")
    assert find_bundle("theirs") == Path("theirs")
    assert find_bundle("./resnet8") == Path("resnet8")
    for word in ("resnet8", "empty", "none", "", "x" * 5000, "a\0b", "theirs/manifest.json"):
        assert find_bundle(word) is None
