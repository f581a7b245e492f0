"""What a killed command leaves, folders and processes, is gone after the next one; what a living one holds is not."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.native_board import list_children

LIMIT_S = 60  # ends a test that hangs; nothing is measured by it


@pytest.fixture
def temporary(monkeypatch):
    """Everything temporary lies here; the path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="orphans-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def wait_until(condition):
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


def is_running(process_id):
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.fixture
def kill_later():
    """Return a list of processes that the test leaves behind if it fails."""
    process_ids = []
    yield process_ids
    for process_id in process_ids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


def test_a_deploy_that_was_killed_leaves_neither_folder_nor_ssh_nor_agent(project, native, temporary, kill_later):
    (project.folder / "devices.toml").write_text(native.describe())
    process = project.start("deploy", "tiny", "--device", "native")
    wait_until(lambda: (native.root / "releases").exists() or process.poll() is not None)
    connections = list_children(process.pid)
    kill_later += connections
    folders = list(temporary.glob("et-*"))
    assert connections
    assert folders
    assert project.run("targets").code == 0
    assert process.poll() is None
    assert all(folder.exists() for folder in folders)  # a living one's are kept
    assert all(map(is_running, connections))
    for process_id in connections:  # as one that hangs: it does not see that its host is gone
        os.kill(process_id, signal.SIGSTOP)
    process.kill()
    process.communicate()
    assert all(map(is_running, connections))
    assert project.run("targets").code == 0
    assert list(temporary.glob("et-*")) == []
    wait_until(lambda: not any(map(is_running, connections)))
    wait_until(lambda: not native.list_agents() and not native.list_sessions())


def test_a_measurement_on_this_machine_that_was_killed_does_not_go_on(project, temporary, kill_later):
    process = project.start("deploy", "tiny", "--target", "board")
    assert project.wait_for(process, "verify", "start")
    wait_until(lambda: list_children(process.pid) or process.poll() is not None)
    (agent,) = list_children(process.pid)
    kill_later.append(agent)
    wait_until(lambda: any(str(agent) in path.read_text() for path in temporary.glob("et-*/.edge-toolchain")))
    process.kill()
    process.communicate()
    wait_until(lambda: not is_running(agent))
    assert list(temporary.glob("et-*"))
    assert project.run("targets").code == 0
    assert list(temporary.glob("et-*")) == []
