"""Metrics and runtimes from outside, through the real command: what the agent runs of them travels in the bundle."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.contracts.outside import PACKAGE, install_package, write_plugin
from tests.tiny_project import cached_project, project

__all__ = ["cached_project", "project"]

MISSES = (PACKAGE / "acme_edge" / "misses.py").read_text()


@pytest.fixture
def theirs(cached_project, tmp_path):
    """Return a project with a package installed beside it."""
    folder = tmp_path / "site"
    folder.mkdir()
    return replace(cached_project, python_path=(install_package(folder),))


def name_metric(project, name):
    project.edit_recipe("[data]\n", f'[data]\nmetric = "{name}"\n')


def test_a_metric_of_the_project_is_measured_rides_in_the_bundle_and_is_measured_again(cached_project):
    write_plugin(cached_project.folder, "metrics", "my_misses", MISSES)
    name_metric(cached_project, "my_misses")
    cached_project.assert_passed(cached_project.deploy())
    metric = cached_project.read_report()["metric"]
    assert (metric["name"], metric["direction"]) == ("my_misses", "lower")
    bundle = cached_project.out / "bundle"
    assert (bundle / "agent/measure/metrics/my_misses.py").read_text() == MISSES
    assert not (bundle / "agent/measure/metrics/top5.py").exists()
    assert cached_project.run("verify", bundle).code == 0
    # A board has nothing but the bundle.
    alone = [sys.executable, "-B", "-m", "agent", "verify", "."]
    done = subprocess.run(alone, cwd=bundle, env={}, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["exit_code"] == done.returncode == 0
    # Another metric of that name has another value for the float model.
    write_plugin(cached_project.folder, "metrics", "my_misses", MISSES.replace("self.wrong / self", "0 / self"))
    result = cached_project.run("verify", bundle)
    cached_project.assert_message(result.stderr, "content")
    assert result.code == 11
    # Without the file nothing here can measure the bundle, and nothing passes.
    (cached_project.folder / "plugins/metrics/my_misses.py").unlink()
    cached_project.assert_message(cached_project.run("verify", bundle).stderr, "malformed")
    assert cached_project.run("verify", bundle).code == 23


def test_a_metric_of_the_project_that_is_no_number_never_passes(cached_project):
    write_plugin(
        cached_project.folder, "metrics", "my_misses", MISSES.replace("self.wrong / self.samples", 'float("nan")')
    )
    name_metric(cached_project, "my_misses")
    assert cached_project.deploy().code not in (0, 1)


def test_a_metric_of_a_package_is_measured(theirs):
    name_metric(theirs, "acme_misses")
    theirs.assert_passed(theirs.deploy())
    assert theirs.read_report()["metric"]["name"] == "acme_misses"


def test_a_runtime_of_a_package_is_lowered_for_opened_and_proven(theirs):
    theirs.edit("targets/board.toml", 'runtime = "onnxruntime"', 'runtime = "acme_twin"')
    theirs.assert_passed(theirs.deploy())
    report = theirs.read_report()
    assert report["device"]["runtime"] == "acme_twin"
    assert (theirs.out / "bundle/agent/measure/runtimes/acme_twin.py").is_file()
    assert theirs.run("verify", theirs.out / "bundle").code == 0


def test_a_runtime_that_nobody_installed_is_refused_with_the_known_ones(cached_project):
    cached_project.edit("targets/board.toml", 'runtime = "onnxruntime"', 'runtime = "acme_twin"')
    result = cached_project.deploy()
    cached_project.assert_stopped(result, 2, "usage")
    assert "onnxruntime" in result.stderr
