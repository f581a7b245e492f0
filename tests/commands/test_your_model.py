"""docs/your_model.md, followed in an empty folder: its files are written, its commands run, its lines are what they say."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_project import Project, finish

_PAGE = (Path(__file__).parents[2] / "docs" / "your_model.md").read_text()
_FILES = re.findall(r"```python file=(\S+)\n(.*?)```", _PAGE, re.DOTALL)
_BLOCKS = re.findall(r"```console\n(.*?)```", _PAGE, re.DOTALL)
# No measurement: a machine that runs tests is busy with others.
_TARGET = """
runtime = "onnxruntime"
precision = ["int8", "float32"]
signature = "optional"
emulated = true
"""


def read_commands(block):
    """Return the commands of a block, each with the lines that it prints among others."""
    commands = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append((shlex.split(line[2:]), []))
        else:
            commands[-1][1].append(" ".join(line.split()))
    return commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder with what the page makes where somebody has nothing."""
    folder = tmp_path_factory.mktemp("empty")
    for name, content in _FILES:
        (folder / name).write_text(content)
    (folder / "targets").mkdir()
    (folder / "targets" / "cpu.toml").write_text(_TARGET)
    project = Project(folder=folder, cache=folder.parent / "cache-of-the-page")
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=project.environment, check=True, capture_output=True)
    return project


def test_the_page_has_files_and_commands():
    assert [name for name, _ in _FILES] == ["net.py", "train.py"]
    assert [len(read_commands(block)) for block in _BLOCKS] == [2, 3]


@pytest.mark.parametrize("block", _BLOCKS, ids=["python", "onnx"])
def test_every_command_of_the_page_succeeds_and_prints_what_it_says(folder, block):
    for (program, *arguments), lines in read_commands(block):
        assert program == "toolchain"
        result = finish(folder.start(*arguments))
        assert result.code == 0, result.stderr
        printed = [" ".join(line.split()) for line in result.stdout.splitlines()]
        assert [line for line in lines if line not in printed] == []
