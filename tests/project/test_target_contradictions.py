"""A target that lists several runtimes or thread counts: what it says, and what it cannot ask for together."""

import pytest

from toolchain.agent.candidates import CANDIDATES_MAX
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.target import read_target

SEVERAL = 'runtime = ["onnxruntime", "openvino"]\nprecision = ["int8", "float32"]\n'
VERSIONS = '[compatible]\nruntime_version = { onnxruntime = ">=1.23", openvino = ">=2024.4" }\n'


def write(folder, text):
    path = folder / "board.toml"
    path.write_text(text)
    return path


def test_one_runtime_and_one_number_of_threads_are_lists_of_one(tmp_path):
    target = read_target(write(tmp_path, 'runtime = "onnxruntime"\nprecision = ["int8"]\nthreads = 3\n'))
    assert (target.runtimes, target.thread_counts) == (["onnxruntime"], [3])
    assert (target.runtime, target.threads) == ("onnxruntime", 3)
    assert target.name_lowered("int8", "onnxruntime") == "int8"
    assert target.describe_compatible().runtime_versions == {}


def test_several_are_read_in_their_order_with_versions_of_their_own(tmp_path):
    target = read_target(write(tmp_path, f"{SEVERAL}threads = [2, 1]\n{VERSIONS}"))
    assert (target.runtimes, target.thread_counts) == (["onnxruntime", "openvino"], [2, 1])
    assert target.describe_compatible().runtime_versions == {"onnxruntime": ">=1.23", "openvino": ">=2024.4"}


def test_a_target_narrowed_to_a_runtime_still_knows_that_there_are_others(tmp_path):
    target = read_target(write(tmp_path, SEVERAL))
    narrow = target.narrow("int8", "openvino")
    assert (narrow.runtimes, narrow.precision) == (["openvino"], ["int8"])
    assert narrow.name_lowered("int8", "openvino") == "int8 openvino"
    assert narrow.narrow("int8").listed is target
    assert target.narrow("float32").runtimes == target.runtimes


def test_what_a_runtime_cannot_pin_is_left_out_of_its_ways(tmp_path):
    target = read_target(write(tmp_path, f"{SEVERAL}threads = [1, 2]\npinning = [false, true]\n"))
    assert target.list_ways("onnxruntime") == [(1, False), (2, False), (2, True)]
    assert target.list_ways("openvino") == [(1, False), (1, True), (2, False), (2, True)]
    assert read_target(write(tmp_path, SEVERAL)).list_ways("openvino") == [(1, False)]


def test_one_version_for_one_runtime_may_be_a_table_too(tmp_path):
    text = 'runtime = "onnxruntime"\nprecision = ["int8"]\n[compatible]\nruntime_version = { onnxruntime = ">=1.23" }\n'
    assert read_target(write(tmp_path, text)).describe_compatible().runtime_versions == {"onnxruntime": ">=1.23"}


@pytest.mark.parametrize(
    ("text", "place", "expected", "found"),
    [
        (SEVERAL.replace('["onnxruntime", "openvino"]', "[]"), "runtime", "at least one", "[]"),
        (SEVERAL + "threads = []", "threads", "at least one", "[]"),
        (SEVERAL.replace("openvino", "onnxruntime"), "runtime", "once", "onnxruntime, onnxruntime"),
        (SEVERAL + "threads = [1, 2, 1]", "threads", "once", "1, 2, 1"),
        (SEVERAL + "threads = [1, 0]", "threads.1", "greater than or equal to 1", "0"),
        (SEVERAL + "threads = [1, true]", "threads.1", "integer", "True"),
        (SEVERAL.replace("openvino", "openvin0"), "runtime", "openvino", "openvin0"),
        (SEVERAL.replace("openvino", "tensorrt"), "runtime", 'runtime = "tensorrt"', "onnxruntime, tensorrt"),
        (SEVERAL.replace("openvino", "tensorrt_rtx"), "runtime", 'runtime = "tensorrt_rtx"', "tensorrt_rtx"),
        (
            'runtime = "tensorrt"\nprecision = ["int8"]\nthreads = [1, 2]',
            "threads",
            "one number of threads",
            "1, 2",
        ),
        (SEVERAL + 'compute_capabilities = ["8.6"]', "compute_capabilities", "none for every other", "8.6"),
        (SEVERAL + "[build]\nlimit_s = 60", "build.limit_s", "tensorrt", "onnxruntime"),
        (SEVERAL + "pinning = []", "pinning", "at least one", "[]"),
        (SEVERAL + "threads = 2\npinning = [true, true]", "pinning", "once", "True, True"),
        (SEVERAL + "threads = 2\npinning = 1", "pinning", "boolean", "1"),
        (
            'runtime = "onnxruntime"\nprecision = ["int8"]\npinning = [false, true]',
            "pinning",
            "onnxruntime on 2 or more threads",
            "onnxruntime on 1",
        ),
        (SEVERAL + "pinning = true", "pinning", "openvino on 1 or more threads", "onnxruntime on 1"),
        (
            'runtime = "tensorrt"\nprecision = ["int8"]\nthreads = 2\npinning = true',
            "pinning",
            "openvino on 1 or more threads",
            "tensorrt on 2",
        ),
        (SEVERAL + 'activation_type = "uint8"', "activation_type", "auto", "uint8"),
        (SEVERAL + "[compatible]\nruntime_version = '>=1.23'", "runtime_version", "a table", "'>=1.23'"),
        (SEVERAL + "[compatible]\nruntime_version = { onnx = '>=1' }", "runtime_version", "openvino", "onnx"),
        (SEVERAL + "[compatible]\nruntime_version = { openvino = 'new' }", "runtime_version", ">=1.23", "'new'"),
        (SEVERAL + "[compatible]\nruntime_version = 3", "compatible.runtime_version", "text", "3"),
        (
            SEVERAL + f"threads = {list(range(1, CANDIDATES_MAX))}",
            "precision, runtime, threads and pinning",
            f"{CANDIDATES_MAX} candidates",
            str(4 * (CANDIDATES_MAX - 1)),
        ),
    ],
)
def test_what_cannot_be_asked_for_together_is_named_with_what_to_do(tmp_path, text, place, expected, found):
    path = write(tmp_path, text)
    with pytest.raises(ToolchainError) as caught:
        read_target(path)
    error = caught.value
    assert (error.code, bool(error.fix)) == (ExitCode.USAGE, True)
    assert error.where.startswith(f"{path}: ")
    assert place in error.where
    assert expected in error.expected, error.expected
    assert found in error.found, error.found
