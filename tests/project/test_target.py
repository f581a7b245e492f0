from pathlib import Path

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.target import read_target

LEAST = """
runtime = "onnxruntime"
precision = ["int8", "float32"]
"""
TENSORRT = """
runtime = "tensorrt"
precision = ["int8", "fp16"]
"""


def write(folder, text):
    path = folder / "board.toml"
    path.write_text(text)
    return path


def test_a_target_asks_for_a_signature_unless_it_says_otherwise(tmp_path):
    target = read_target(write(tmp_path, LEAST))
    assert target.name == "board"
    assert (target.signature, target.emulated, target.threads) == ("required", False, 1)
    assert target.compatible.arch is None


def test_every_key_is_read(tmp_path):
    target = read_target(
        write(
            tmp_path,
            """
            runtime = "onnxruntime"
            precision = ["int8", "fp16", "float32"]
            threads = 4
            activation_type = "int8"
            signature = "optional"
            emulated = true
            [compatible]
            arch = "aarch64"
            accelerator = "sm_87"
            runtime_version = ">=1.23, !=1.25.1, <2"
            cpu_features = ["asimddp"]
            [gates]
            latency_p90_ms_max = 5.0
            int8_share_min = 0.9
            """,
        )
    )
    assert target.precision == ["int8", "fp16", "float32"]
    assert target.compatible.runtime_version == ">=1.23, !=1.25.1, <2"
    assert target.compatible.cpu_features == ["asimddp"]
    assert (target.gates.latency_p90_ms_max, target.gates.int8_share_min) == (5.0, 0.9)


def test_a_target_narrowed_to_a_precision_keeps_everything_else(tmp_path):
    target = read_target(write(tmp_path, LEAST + "threads = 3"))
    narrow = target.narrow("float32")
    assert narrow.precision == ["float32"]
    assert (narrow.name, narrow.threads) == ("board", 3)
    assert target.precision == ["int8", "float32"]


@pytest.mark.parametrize(
    ("text", "place", "expected", "found", "fix"),
    [
        (LEAST + "thread = 2", "thread", "threads", "thread", "write threads"),
        (LEAST + "[compatible]\nos = 'linux'", "compatible.os", "arch", "os", "remove it"),
        (LEAST + "[gates]\nmetric_drop_max = 0.1", "gates.metric_drop_max", "int8_share_min", "metric", "remove it"),
        ('precision = ["int8"]', "board.toml", "runtime", "none", "add it"),
        ('runtime = "onnxruntime"', "board.toml", "precision", "none", "add it"),
        ('runtime = "onxruntime"\nprecision = ["int8"]', "runtime", "onnxruntime", "'onxruntime'", "write onnxruntime"),
        ('runtime = "r"\nprecision = ["int8"]', "runtime", "onnxruntime", "'r'", "correct the name"),
        ('runtime = 3\nprecision = ["int8"]', "runtime", "text", "3", "correct"),
        ('runtime = "r"\nprecision = "int8"', "precision", "a list", "'int8'", "correct"),
        ('runtime = "r"\nprecision = []', "precision", "at least one", "[]", "correct"),
        (
            'runtime = "r"\nprecision = ["int4"]',
            "precision.0",
            "'int8', 'fp16', 'bf16' or 'float32'",
            "'int4'",
            "correct",
        ),
        ('runtime = "r"\nprecision = ["int8", "int8"]', "precision", "once", "int8, int8", "remove"),
        (LEAST + "threads = 0", "threads", "greater than or equal to 1", "0", "correct"),
        (LEAST + "threads = 1025", "threads", "less than or equal to 1024", "1025", "correct"),
        (LEAST + "emulated = 'no'", "emulated", "boolean", "'no'", "correct"),
        (LEAST + "signature = 'none'", "signature", "'required' or 'optional'", "'none'", "correct"),
        (LEAST + "activation_type = 'int4'", "activation_type", "'auto'", "'int4'", "correct"),
        (LEAST + "[compatible]\nruntime_version = '1.23'", "compatible.runtime_version", ">=1.23", "'1.23'", "correct"),
        (LEAST + "[compatible]\nruntime_version = '>=new'", "runtime_version", ">=1.23", "'>=new'", "correct"),
        (LEAST + "[compatible]\ncpu_features = 'asimd'", "compatible.cpu_features", "a list", "'asimd'", "correct"),
        (LEAST + "[gates]\nlatency_p90_ms_max = '5'", "gates.latency_p90_ms_max", "number", "'5'", "correct"),
        (LEAST + "[gates]\nlatency_p90_ms_max = 0", "gates.latency_p90_ms_max", "greater than 0", "0", "correct"),
        (LEAST + "[gates]\nlatency_p90_ms_max = inf", "gates.latency_p90_ms_max", "finite", "inf", "correct"),
        (LEAST + "compute_capabilities = ['8.6']", "compute_capabilities", "none for every other", "8.6", "remove"),
        (LEAST + "[build]\nlimit_s = 60", "build.limit_s", "tensorrt", "onnxruntime", "remove it"),
        (TENSORRT + "[build]\nlimit_s = 901", "build.limit_s", "900", "901", "correct"),
        (TENSORRT + "[build]\nworkspace_mib = 0", "build.workspace_mib", "1", "0", "correct"),
        (TENSORRT + "[build]\ndla_core = -1", "build.dla_core", "0", "-1", "correct"),
        (TENSORRT + "[build]\ngpu_fallback = true", "build.gpu_fallback", "dla_core", "none", "remove it"),
        (
            TENSORRT.replace("fp16", "float32") + "[build]\ndla_core = 0",
            "build.dla_core",
            "int8 and fp16",
            "float32",
            "remove it",
        ),
        (
            LEAST.replace("onnxruntime", "tensorrt_rtx"),
            "compute_capabilities",
            'some for runtime = "tensorrt_rtx"',
            "none",
            "name those",
        ),
        ("runtime = ", "board.toml", "TOML", "Invalid value", "correct the file"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_to_do(tmp_path, text, place, expected, found, fix):
    path = write(tmp_path, text)
    with pytest.raises(ToolchainError) as caught:
        read_target(path)
    error = caught.value
    assert error.code == ExitCode.USAGE
    assert str(path) in error.where
    assert place in error.where
    assert expected in error.expected
    assert found in error.found
    assert fix in error.fix


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ToolchainError, match=r"the target .*board\.toml does not exist") as caught:
        read_target(tmp_path / "board.toml")
    assert caught.value.code == ExitCode.USAGE


def test_a_target_narrowed_to_one_precision_still_knows_what_it_lists(tmp_path):
    target = read_target(write(tmp_path, LEAST))
    narrowed = target.narrow("int8")
    assert narrowed.precision == ["int8"]
    assert narrowed.listed_precisions == target.listed_precisions == ("int8", "float32")


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "targets").glob("*.toml")), ids=lambda path: path.stem
)
def test_the_built_in_targets_are_valid(path):
    assert read_target(path).name == path.stem
