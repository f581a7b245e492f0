"""The agent must run on a board: Python 3.8, the standard library, numpy and the runtime, under any package name."""

import ast
import sys
from pathlib import Path

import pytest

import toolchain.agent
from toolchain.agent.measure.traits import list_runtimes

FOLDER = Path(toolchain.agent.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
ALLOWED = {"numpy", "cuda", *list_runtimes()}
# The names that Python 3.8's standard library does not have yet.
TOO_NEW = {"tomllib", "zoneinfo", "graphlib"}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_python_3_8(path):
    parse(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_imports_only_what_a_board_has(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {node.module.partition(".")[0]}
        else:
            continue
        assert names <= (sys.stdlib_module_names | ALLOWED) - TOO_NEW


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_does_without_methods_that_came_after_python_3_8(path):
    too_new = {"removeprefix", "removesuffix", "is_relative_to", "bit_count", "with_stem", "readlink", "lcm"}
    # os.readlink is old, Path.readlink is not.
    used = {
        node.attr
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "os")
    }
    assert not used & too_new


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_durations_are_read_in_latency_and_steady_alone_and_the_date_in_clock_alone(path):
    names = {
        name
        for node in ast.walk(parse(path))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)])
    }
    assert ("time" in names) is (
        path.relative_to(FOLDER).as_posix() in ("measure/latency.py", "measure/steady.py", "clock.py")
    )
    assert "datetime" not in names


def test_there_is_an_agent_to_test():
    assert {"__main__.py", "verify.py", "onnxruntime.py"} <= {path.name for path in FILES}
