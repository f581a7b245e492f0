"""What is known of a runtime before it is loaded."""

import json
import subprocess
import sys

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.traits import find_traits, list_runtimes

PRINT_LOADED = """
import json, sys
from toolchain.agent.measure.traits import find_traits, list_runtimes
for name in list_runtimes():
    find_traits(name)
print(json.dumps([list_runtimes(), sorted({module.partition(".")[0] for module in sys.modules})]))
"""


def test_runtimes_are_found_by_the_name_of_their_module():
    assert {"onnxruntime", "tensorrt", "tensorrt_rtx"} <= set(list_runtimes())


def test_traits_are_read_without_loading_any_runtime():
    output = subprocess.run([sys.executable, "-c", PRINT_LOADED], capture_output=True, text=True, check=True).stdout
    runtimes, loaded = json.loads(output)
    assert "toolchain" in loaded
    assert not set(runtimes) & set(loaded)
    assert not {"torch", "onnx"} & set(loaded)


@pytest.mark.parametrize("name", list_runtimes())
def test_every_runtime_says_how_to_get_it_and_where_its_libraries_are(name):
    traits = find_traits(name)
    assert "pip install" in traits.install
    assert name in traits.libraries.beside


@pytest.mark.parametrize("name", ["tensorflow", "", "../errors", "os"])
def test_an_unknown_runtime_is_a_usage_error_that_lists_the_known(name):
    with pytest.raises(ToolchainError) as caught:
        find_traits(name)
    assert caught.value.code == ExitCode.USAGE
    assert "onnxruntime" in caught.value.expected
