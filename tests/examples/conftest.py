"""The boards of tests/agent/application, for applications in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.application.conftest import board, bundles, bytecode, frames, keys, template

__all__ = ["board", "bundles", "bytecode", "frames", "keys", "template"]

_REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Return the environment of applications: edge_app as the wheel lays it, from the same sources."""
    site = tmp_path_factory.mktemp("site")
    (site / "edge_app").mkdir()
    (site / "edge_app/__init__.py").symlink_to(_REPOSITORY / "app/edge_app/__init__.py")
    (site / "edge_app/agent").symlink_to(_REPOSITORY / "toolchain/agent")
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def run_example(environment):
    """Return a function that runs an example and returns what subprocess.run does."""

    def run(name, *arguments, given=b""):
        command = [sys.executable, "-B", _REPOSITORY / "examples" / name, *arguments]
        done = subprocess.run(
            list(map(str, command)), input=given, capture_output=True, env=environment, timeout=120, check=False
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
