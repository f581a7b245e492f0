"""The lock of a board is nobody else's to hold, and that of a folder is a file or nothing."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.lock import hold_file, take_lock

STRANGER = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else needs root")


def hold(path, kind="exclusive", **options):
    """Return a process that holds a file's lock, or could not open it; flock(1), for others may not read our Python."""
    command = ["flock", f"--{kind}", str(path), "sh", "-c", "echo held; cat"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, **options)


@pytest.fixture
def public_root():
    """Return a ROOT that other users can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_lock_is_taken_once_and_free_again_when_its_holder_is_gone(tmp_path):
    descriptor = take_lock(Folder(tmp_path), "first")
    with pytest.raises(ToolchainError) as caught:
        take_lock(Folder(tmp_path), "second")
    assert (caught.value.code, "first" in caught.value.found) == (ExitCode.BUSY, True)
    os.close(descriptor)
    os.close(take_lock(Folder(tmp_path), "third"))


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o664, 0o600])
def test_a_lock_of_an_older_agent_is_taken_over_and_closed_to_others(tmp_path, mode):
    (tmp_path / "lock").write_text("process 1 of somebody who is long gone\n")
    (tmp_path / "lock").chmod(mode)
    os.close(take_lock(Folder(tmp_path), "test"))
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


@as_root
@pytest.mark.parametrize("kind", ["exclusive", "shared"])
def test_another_user_cannot_hold_the_lock_of_a_board(public_root, kind):
    os.close(take_lock(Folder(public_root), "test"))
    stranger = hold(public_root / "lock", kind, user=STRANGER, cwd="/")
    assert b"Permission denied" in stranger.communicate()[1]
    os.close(take_lock(Folder(public_root), "test"))


@as_root
def test_one_who_holds_that_of_an_older_agent_is_named_with_the_way_out(public_root):
    (public_root / "lock").touch(mode=0o644)
    (public_root / "lock").chmod(0o644)
    stranger = hold(public_root / "lock", user=STRANGER, cwd="/")
    assert stranger.stdout.readline() == b"held\n"
    with pytest.raises(ToolchainError) as caught:
        take_lock(Folder(public_root), "test")
    assert (caught.value.code, f"user {STRANGER}" in caught.value.what) == (ExitCode.BUSY, True)
    assert f"process {stranger.pid}" in caught.value.fix
    (public_root / "lock").unlink()  # as the fix says
    os.close(take_lock(Folder(public_root), "test"))
    assert hold(public_root / "lock", user=STRANGER, cwd="/").communicate()[0] == b""
    stranger.communicate(b"")


def test_a_process_of_ones_own_is_no_stranger(tmp_path):
    (tmp_path / "lock").touch()
    with hold(tmp_path / "lock") as holder:
        holder.stdout.readline()
        with pytest.raises(ToolchainError) as caught:
            take_lock(Folder(tmp_path), "test")
        assert caught.value.what == "another deploy is running on this board"
        holder.communicate(b"")


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_the_lock_of_a_hosts_folder_is_a_file_too(tmp_path, kind):
    canary = tmp_path / "canary"
    canary.write_text("somebody's")
    path = tmp_path / ".lock"
    {"link": lambda: path.symlink_to(canary), "fifo": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    with pytest.raises(ToolchainError) as caught:
        hold_file(path, "test", what="another one", fix="wait")
    assert (caught.value.code, f"mv {path}" in caught.value.fix) == (ExitCode.STORAGE, True)
    assert canary.read_text() == "somebody's"
