"""What must hold of an installed wheel; tests/wheel/run.py runs it there. In a checkout it fails, as it should."""

import subprocess
import sys
from pathlib import Path

import pytest

import toolchain
from tests.tiny_project import cached_project, deployed, deployed_copy, project, shared_cache, tiny
from toolchain.agent.contents import compute_sha256

__all__ = ["cached_project", "deployed", "deployed_copy", "project", "shared_cache", "tiny"]

_PACKAGE = Path(toolchain.__file__).parent
_COMMAND = Path(sys.prefix) / "bin" / "toolchain"


def run_command(*arguments, folder, environment=None):
    done = subprocess.run(
        [_COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_is_the_wheels():
    assert _PACKAGE.parent.name == "site-packages"
    assert Path(sys.prefix) in _PACKAGE.parents


@pytest.mark.parametrize(("kind", "member"), [("models", "resnet8"), ("targets", "cpu"), ("methods", "qat")])
def test_the_command_lists_what_rides_in_the_package(kind, member, tmp_path):
    listed = run_command(kind, "--json", folder=tmp_path)
    assert f'"{member}"' in listed
    assert str(Path.home()) not in listed.replace(str(_PACKAGE), "")


def test_the_command_deploys_and_the_bundle_has_the_wheels_agent(project):
    run_command("deploy", "tiny", "--target", "board", folder=project.folder, environment=project.environment)
    assert project.read_report()["verdict"] == "pass"
    project.assert_nothing_half_written()
    copied = project.out / "bundle" / "agent" / "manifest.py"
    assert compute_sha256(copied) == compute_sha256(_PACKAGE / "agent" / "manifest.py")
