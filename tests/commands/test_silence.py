"""No command lets a runtime write into the user's home what it tells its makers, on the host or in the agent."""

import os
import subprocess
import sys

import pytest

from tests.agent.test_command import run_agent

# What ONNX Runtime does as soon as it is imported.
_IMPORT = "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None); import onnxruntime"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return the folders in which something would be left: home and temporary files."""
    folders = []
    for variable in ("HOME", "TMPDIR"):
        folders.append(tmp_path / variable)
        folders[-1].mkdir()
        monkeypatch.setenv(variable, str(folders[-1]))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    return folders


def list_left(own):
    return sorted(str(path) for folder in own for path in folder.rglob("*") if path.is_file())


def test_a_runtime_that_is_not_told_leaves_something(own):
    subprocess.run([sys.executable, "-c", _IMPORT], check=True, env=dict(os.environ))
    if not list_left(own):
        pytest.skip("this version of ONNX Runtime tells nobody anything")
    assert any("onnxruntime" in path for path in list_left(own))


def test_a_deploy_leaves_nothing_in_the_home_of_its_user(own, project):
    assert project.deploy().code == 0
    assert list_left(own) == []


def test_the_agent_leaves_nothing_in_the_home_of_its_user(own, make_bundle):
    assert run_agent("verify", make_bundle())[0] == 0
    assert list_left(own) == []
