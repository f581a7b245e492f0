"""The templates for pipelines are what the services' schemas allow, and their commands are ours."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolchain.cli import create_app

ROOT = Path(__file__).parents[1]
TEMPLATES = {"github.yml": "vendor.github-workflows", "gitlab.yml": "vendor.gitlab-ci"}


def check(path: Path, schema: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_schema_of_the_service_takes_it(name):
    done = check(ROOT / "examples/ci" / name, TEMPLATES[name])
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "right", "wrong"), [("github.yml", "runs-on:", "runs_on:"), ("gitlab.yml", "timeout: 1h", "timeout: [1]")]
)
def test_the_schema_refuses_what_is_wrong(name, right, wrong, tmp_path):
    text = (ROOT / "examples/ci" / name).read_text()
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong))
    assert check(tmp_path / name, TEMPLATES[name]).returncode == 1


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_option_of_its_commands_is_one_of_ours(name):
    text = (ROOT / "examples/ci" / name).read_text()
    commands = [shlex.split(found) for found in re.findall(r"bin/toolchain (.*)", text)]
    assert {command[0] for command in commands} == {"deploy", "compare"}
    for command in commands:
        shown = CliRunner().invoke(create_app(), [command[0], "--help"], env={"COLUMNS": "200"}).output
        for option in (word for word in command if word.startswith("--")):
            assert option in shown


@pytest.mark.parametrize("name", TEMPLATES)
def test_only_what_builds_installs_what_builds(name):
    text = (ROOT / "examples/ci" / name).read_text()
    slim = [shlex.split(found) for found in re.findall(r"\.slim/bin/toolchain (.*)", text)]
    assert [command[:2] for command in slim if command[0] == "deploy"]
    for command in slim:
        assert command[0] == "compare" or command[1].endswith("/bundle")
    building = [shlex.split(found) for found in re.findall(r"\.venv/bin/toolchain (.*)", text)]
    assert [command[1] for command in building] == ["$MODEL"]
    installed = dict(re.findall(r"(\.\w+)/bin/pip install (.*)", text))
    assert installed == {".slim": "edge-toolchain", ".venv": "'edge-toolchain[build]'"}
