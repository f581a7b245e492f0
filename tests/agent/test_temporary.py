import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import toolchain
from toolchain.agent import temporary
from toolchain.agent.temporary import TemporaryFolder, remove_orphans

HOLD = ".edge-toolchain"
# Makes a folder, starts a process that leads a group and one that does not, says where, and waits.
OWNER = """
import subprocess, sys, time
from toolchain.agent.temporary import TemporaryFolder
folder = TemporaryFolder()
(folder.path / "file").write_text("x")
for leads in (True, False):
    child = subprocess.Popen(["sleep", "600"], start_new_session=leads)
    folder.note_process(child.pid)
    print(child.pid, flush=True)
print(folder.path, flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def parent(tmp_path, monkeypatch):
    """Everything temporary lies in a folder of the test's own."""
    monkeypatch.setattr(temporary, "SHORT_PARENT", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner():
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    children = [int(process.stdout.readline()) for _ in range(2)]
    process.folder = Path(process.stdout.readline().strip())
    process.children = children
    yield process
    for pid in (process.pid, *children):
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def wait_until(condition):
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def leave_behind(path, processes=""):
    path.mkdir()
    (path / HOLD).write_text(processes)
    return path


def test_a_folder_is_there_for_the_block_and_private():
    with TemporaryFolder() as folder:
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_and_what_it_started_ends(owner):
    owner.kill()
    owner.wait()
    assert owner.folder.is_dir()
    assert all(map(is_running, owner.children))
    remove_orphans()
    assert not owner.folder.exists()
    assert wait_until(lambda: not any(map(is_running, owner.children)))


def test_what_a_living_process_holds_is_kept(owner):
    with TemporaryFolder() as own:
        remove_orphans()
        assert own.is_dir()
    assert (owner.folder / "file").is_file()
    assert all(map(is_running, owner.children))


def test_a_stopped_process_lives(owner):
    owner.send_signal(signal.SIGSTOP)
    remove_orphans()
    assert owner.folder.is_dir()


def test_a_number_that_another_process_has_by_now_ends_nobody(parent):
    folder = leave_behind(parent / "et-old", f"{os.getpid()} 1\n1 1\n0 0\n-1 2\nwords\n")
    remove_orphans()
    assert not folder.exists()


def test_folders_of_others_are_kept(parent):
    (parent / "et-something").mkdir()
    (parent / "et-file").write_text("x")
    leave_behind(parent / "other")
    (parent / "et-fifo").mkdir()
    os.mkfifo(parent / "et-fifo" / HOLD)
    (parent / "et-link-inside").mkdir()
    (parent / "et-link-inside" / HOLD).symlink_to(parent / "other" / HOLD)
    (parent / "et-link").symlink_to(parent / "other")
    before = sorted(path.name for path in parent.iterdir())
    remove_orphans()
    assert sorted(path.name for path in parent.iterdir()) == before
    assert (parent / "other" / HOLD).exists()


def test_no_link_out_of_a_folder_is_followed(parent):
    (parent / "canary").mkdir()
    (parent / "canary" / "file").write_text("x")
    folder = leave_behind(parent / "et-old")
    (folder / "link").symlink_to(parent / "canary")
    remove_orphans()
    assert not folder.exists()
    assert (parent / "canary" / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folders_of_another_user_are_kept(parent):
    folder = leave_behind(parent / "et-theirs")
    os.chown(folder, 12345, 12345)
    other = leave_behind(parent / "et-planted")
    os.chown(other / HOLD, 12345, 12345)
    remove_orphans()
    assert folder.exists()
    assert other.exists()


def test_folders_that_are_made_while_others_are_removed_stay(parent):
    is_over = threading.Event()

    def sweep():
        while not is_over.is_set():
            remove_orphans()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        folders = [TemporaryFolder() for _ in range(300)]
    finally:
        is_over.set()
        sweeper.join()
    assert all((folder.path / HOLD).exists() for folder in folders)
    for folder in folders:
        folder.close()
    assert list(parent.iterdir()) == []


def test_every_other_temporary_folder_is_settled_where_it_lies():
    package = Path(toolchain.__file__).parent
    made = re.compile(r"mkdtemp\(|TemporaryDirectory\(|NamedTemporaryFile\(|mkstemp\(")
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if made.search(path.read_text())}
    # Beside what they replace: in OUT under its lock, on a board beside its agents.
    assert found - {"deploy/local.py", "deploy/loader.py"} == {"agent/temporary.py"}, "use TemporaryFolder"


def test_a_parent_that_is_not_there_is_no_error(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    remove_orphans()
