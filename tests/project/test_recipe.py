from pathlib import Path

import pytest

from toolchain.data import change_paths_of
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.recipe import read_recipe

LEAST = """
[model]
build = "model.py:build"
weights = "weights.safetensors"
[data]
name = "npz"
"""

OF_ONNX = """
[model]
onnx = "model.onnx"
[data]
name = "npz"
"""


def write(folder, text):
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def refuse(path):
    with pytest.raises(ToolchainError) as caught:
        read_recipe(path)
    assert caught.value.code == ExitCode.USAGE
    return caught.value


def test_a_recipe_has_defaults_for_all_but_model_and_data(tmp_path):
    recipe = read_recipe(write(tmp_path, LEAST))
    assert recipe.metric_name == "top1"
    assert recipe.data.evaluation_samples is None
    assert (recipe.train, recipe.compress) == (None, [])
    assert recipe.gates.sqnr_db_min == {}


def test_every_key_is_read(tmp_path):
    recipe = read_recipe(
        write(
            tmp_path,
            """
            [model]
            build = "net.py:make"
            build_options = { depth = 3, names = ["a"], wide = true, scale = 0.5 }
            weights = "w.safetensors"
            [data]
            name = "image_folder"
            options = { folder = "pictures" }
            metric = "top1"
            calibration_samples = 5
            evaluation_samples = 6
            [train]
            data = "fashion_mnist"
            epochs = 2
            seed = 7
            [[compress]]
            method = "magnitude_pruning"
            amount = 0.5
            [[compress]]
            method = "other"
            [quantize]
            calibration = "entropy"
            keep_float = ["conv1"]
            choose_by_measurement = false
            [gates]
            metric_drop_max = 0.01
            sqnr_db_min = { int8 = 25, float32 = 90.5 }
            int8_share_min = 0.9
            latency_p90_ms_max = 3
            """,
        )
    )
    assert recipe.model.build_options == {"depth": 3, "names": ["a"], "wide": True, "scale": 0.5}
    assert [entry["method"] for entry in recipe.compress] == ["magnitude_pruning", "other"]
    assert recipe.train.seed == 7
    assert recipe.quantize.keep_float == ["conv1"]
    assert recipe.gates.sqnr_db_min == {"int8": 25.0, "float32": 90.5}
    assert recipe.gates.latency_p90_ms_max == 3.0


def test_a_recipe_is_named_after_its_folder_and_another_one_after_its_file_too(tmp_path):
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "recipe.toml").write_text(LEAST)
    (folder / "small.toml").write_text(LEAST)
    assert read_recipe(folder / "recipe.toml").name == "net"
    assert read_recipe(folder / "small.toml").name == "net-small"
    assert read_recipe(folder / "small.toml").folder == folder


def test_the_folder_is_that_of_the_file_from_wherever_it_is_named(tmp_path, monkeypatch):
    write(tmp_path, LEAST)
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(Path("recipe.toml"))
    monkeypatch.chdir("/")
    assert recipe.folder == tmp_path
    assert recipe.path == tmp_path / "recipe.toml"


@pytest.mark.parametrize(
    ("text", "place", "expected", "found", "fix"),
    [
        (LEAST + "metrics = 'top1'", "data.metrics", "metric", "metrics", "write metric"),
        (LEAST + "[gate]\nmetric_drop_max = 0.1", "gate", "gates", "gate", "write gates"),
        (LEAST + "[quantize]\nzzz = 1", "quantize.zzz", "calibration", "zzz", "remove it"),
        (LEAST + "[train]\nepoch = 1", "train.epoch", "epochs", "epoch", "write epochs"),
        (LEAST + "metric = 3", "data.metric", "text", "3", "correct data.metric"),
        (LEAST + "metric = 'agrement'", "data.metric", "top1", "'agrement'", "write agreement"),
        (LEAST + "calibration_samples = 0", "data.calibration_samples", "greater than or equal to 1", "0", "correct"),
        (LEAST + "calibration_samples = 8.0", "data.calibration_samples", "integer", "8.0", "correct"),
        (LEAST + "options = 'path'", "data.options", "a table", "'path'", "correct"),
        (LEAST + "[train]\nlearning_rate = 0", "train.learning_rate", "greater than 0", "0", "correct"),
        (LEAST + "[train]\nseed = true", "train.seed", "integer", "True", "correct"),
        (LEAST + "[quantize]\naccuracy = 'best'", "quantize.accuracy", "metric", "'best'", "correct"),
        (LEAST + "[quantize]\ncalibration = 'best'", "quantize.calibration", "percentile", "'best'", "correct"),
        (LEAST + "[quantize]\nkeep_float = 'conv1'", "quantize.keep_float", "a list", "'conv1'", "correct"),
        (LEAST + "[quantize]\nkeep_float = [1]", "quantize.keep_float.0", "text", "1", "correct"),
        (LEAST + "[gates]\nmetric_drop_max = '1 %'", "gates.metric_drop_max", "number", "'1 %'", "correct"),
        (LEAST + "[gates]\nmetric_drop_max = -0.1", "gates.metric_drop_max", "greater than", "-0.1", "correct"),
        (LEAST + "[gates]\nmetric_drop_max = inf", "gates.metric_drop_max", "finite", "inf", "correct"),
        (LEAST + "[gates]\nint8_share_min = 1.1", "gates.int8_share_min", "less than or equal to 1", "1.1", "correct"),
        (LEAST + "[gates]\nsqnr_db_min = 20", "gates.sqnr_db_min", "a table", "20", "correct"),
        (LEAST + "[gates]\nsqnr_db_min = { int8 = nan }", "gates.sqnr_db_min.int8", "finite", "nan", "correct"),
        (
            LEAST + "[gates]\nsqnr_db_min = { int4 = 9 }",
            "gates.sqnr_db_min",
            "int8, fp16, bf16, float32",
            "int4",
            "correct",
        ),
        (LEAST + "[compress]\nmethod = 'x'", "compress", "a list", "{'method': 'x'}", "correct"),
        (LEAST + "[[compress]]\nwhen = 2024-01-31", "compress.0.when", "a number", "datetime.date", "correct"),
        ("model = 3\n", "model", "a table", "3", "correct"),
        (LEAST.replace("name", "nam"), "recipe.toml", "data.name", "none", "add it"),
        ("[data]\nname = 'npz'\n", "recipe.toml", "model", "none", "add it"),
        (OF_ONNX.replace("onnx", "weights"), "model", "exactly one of build and onnx", "neither", "keep"),
        (OF_ONNX + "[model.build]", "model.build", "text", "{}", "correct"),
        (LEAST.replace("weights =", "onnx ="), "model", "exactly one of build and onnx", "both", "keep"),
        (LEAST.replace('weights = "weights.safetensors"', ""), "model", "weights", "none", "add weights"),
        (OF_ONNX.replace("[data]", "weights = 'w'\n[data]"), "model.weights", "none", "w", "model.build"),
        (OF_ONNX + "[train]\nepochs = 1", "train", "none", "epochs=1", "model.build"),
        (OF_ONNX + "[[compress]]\nmethod = 'magnitude_pruning'", "compress", "none", "magnitude", "model.build"),
        (OF_ONNX + "[limits]\nmemory_mb = 0", "limits.memory_mb", "greater than or equal to 1", "0", "correct"),
        (OF_ONNX + "[limits]\nstep_s = inf", "limits.step_s", "finite", "inf", "correct"),
        (OF_ONNX + "[limits]\nmemory = 5", "limits.memory", "memory_mb", "memory", "write memory_mb"),
        (LEAST + "[limits]\nstep_s = 5.0", "limits", "none beside model.build", "step_s", "remove"),
        (LEAST + "metric = 'none'\n[gates]\nmetric_drop_max = 0.0", "metric_drop_max", "none", "0.0", "remove"),
        (LEAST + "metric = 'none'\n[train]\nmetric_min = 0.5", "train.metric_min", "none", "0.5", "remove"),
        (LEAST + "metric = 'none'\n[quantize]\naccuracy = 'metric'", "quantize.accuracy", "sqnr", "metric", "remove"),
        (LEAST + "[train]\nmetric_max = 0.5", "train.metric_max", "train.metric_min", "metric_max", "write metric_min"),
        (LEAST + "[train]\nmetric_min = 50.0", "train.metric_min", "0 to 1", "50.0", "correct train.metric_min"),
        ("[model\n", "recipe.toml", "TOML", "line 1", "correct the file"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_to_do(tmp_path, text, place, expected, found, fix):
    path = write(tmp_path, text)
    error = refuse(path)
    assert str(path) in error.where
    assert place in error.where
    assert expected in error.expected
    assert found in error.found
    assert fix in error.fix


def test_limits_of_an_onnx_file_may_be_whole_numbers(tmp_path):
    recipe = read_recipe(write(tmp_path, OF_ONNX + "[limits]\nmemory_mb = 2000\nstep_s = 20\n"))
    assert recipe.limits.model_dump() == {"memory_mb": 2000, "step_s": 20.0, "total_s": None}


def test_a_file_that_is_not_there_is_named(tmp_path):
    error = refuse(tmp_path / "recipe.toml")
    assert str(tmp_path / "recipe.toml") in error.what
    assert error.fix == "check the path of the recipe"


def test_a_folder_is_no_recipe(tmp_path):
    error = refuse(tmp_path)
    assert (error.where, error.found) == (str(tmp_path), "it is a folder, and no file")


def test_bytes_that_are_no_text_are_no_recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert refuse(path).where == str(path)


def test_paths_of_data_are_relative_to_the_recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[model]\nonnx = "a.onnx"\n[data]\nname = "npz"\noptions = { path = "b.npz", evaluation = "/c.npz" }\n'
    )
    recipe = read_recipe(path)
    options = {**recipe.data.options, "split": True}
    resolved = change_paths_of(recipe.data.name, options, lambda path: str(recipe.folder / path))
    assert resolved == {"path": str(tmp_path / "b.npz"), "evaluation": "/c.npz", "split": True}
