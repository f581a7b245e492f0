"""Versions of the agent's code that nobody uses any more are removed; those in use, and the one that is asked, stay."""

import os
import subprocess
from pathlib import Path

import pytest

from toolchain.agent.install.agents import KEPT_AGENTS, prune_agents


@pytest.fixture
def root(tmp_path):
    """Return a ROOT with nine versions, the first one the oldest."""
    for index in range(9):
        folder = tmp_path / "agent" / f"version-{index}"
        (folder / "agent/install").mkdir(parents=True)
        (folder / "agent/install/still_proven.py").touch()
        os.utime(folder, (index + 1, index + 1))
    return tmp_path


def list_versions(root):
    return sorted(path.name for path in (root / "agent").iterdir())


def test_the_newest_stay(root):
    prune_agents(root)
    assert list_versions(root) == ["version-6", "version-7", "version-8"]
    prune_agents(root)
    assert len(list_versions(root)) == KEPT_AGENTS


def test_the_one_that_applications_ask_stays_however_old(root):
    (root / "still_proven.py").symlink_to("agent/version-0/agent/install/still_proven.py")
    prune_agents(root)
    assert list_versions(root) == ["version-0", "version-6", "version-7", "version-8"]


def test_one_that_a_process_works_in_stays_until_it_ends(root):
    with subprocess.Popen(["cat"], cwd=root / "agent/version-1", stdin=subprocess.PIPE) as process:
        prune_agents(root)
        assert "version-1" in list_versions(root)
        process.communicate(b"")
    prune_agents(root)
    assert list_versions(root) == ["version-6", "version-7", "version-8"]


def test_what_a_killed_host_left_half_brought_goes_and_what_is_coming_stays(root):
    for name in (".partial-left", ".partial-coming", ".removed-left"):
        (root / "agent" / name / "agent").mkdir(parents=True)
    with subprocess.Popen(
        ["flock", "--shared", root / "agent/.partial-coming", "sh", "-c", "echo held; cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as coming:
        assert coming.stdout.readline() == b"held\n"
        prune_agents(root)
        assert [name for name in list_versions(root) if name.startswith(".")] == [".partial-coming"]
        coming.communicate(b"")


def test_nothing_is_removed_through_a_link(root, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis").touch()
    (root / "agent/.partial-link").symlink_to(tmp_path / "home")
    (root / "agent/version-00").symlink_to(tmp_path / "home")
    prune_agents(root)
    assert (tmp_path / "home/thesis").exists()


def test_a_board_without_any_is_left_as_it_is(tmp_path):
    prune_agents(tmp_path / "nowhere")
    prune_agents(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_is_taken_up_while_it_goes_comes_back(root, monkeypatch):
    asked = []

    def is_in_use(path: Path) -> bool:
        asked.append(path.name)
        return path.name == ".removed-version-3"

    monkeypatch.setattr("toolchain.agent.install.agents.is_in_use", is_in_use)
    prune_agents(root)
    assert list_versions(root) == ["version-3", "version-6", "version-7", "version-8"]
    assert "version-3" in asked
