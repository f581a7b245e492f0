"""The one lock of a board, and of every folder that one process may change at a time: gone with it however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Iterator, Tuple

from ..errors import ExitCode, ToolchainError
from ..ownership import list_owners, name_user
from ..regular import NotRegularError, open_regular
from .folder import Folder

LOCK_NAME = "lock"
# flock(2) asks for no more than a file that is open, and reading is enough for that: nobody else may open this one.
_MODE = 0o600


def take_lock(root: Folder, who: str) -> int:
    """Return the descriptor that holds a board's lock; see hold_file. Raises ToolchainError (exit 14) for no file of ours."""
    path = root.path / LOCK_NAME
    with contextlib.suppress(FileNotFoundError):
        _close_to_others(root)
    descriptor = root.open(LOCK_NAME, os.O_RDWR | os.O_CREAT, _MODE)
    what, fix = "another deploy is running on this board", "wait for it to end; the lock goes with its process"
    holders = list(_find_holders(descriptor))
    if holders and all(owner not in list_owners() for _, owner in holders):
        # It has been open since an agent of before made it for everyone.
        process, owner = holders[0]
        what = f"{name_user(owner)} holds the lock of this board"
        fix = f"end process {process}, or remove {path}: the next command makes one that nobody else can open"
    return _hold(descriptor, path, who, what=what, fix=fix)


def _close_to_others(root: Folder) -> None:
    # Agents of before made it for everyone to read, or by the umask even to write: it has nothing that could be forged.
    status = os.stat(LOCK_NAME, dir_fd=root.descriptor, follow_symlinks=False)
    if status.st_mode & 0o077 and status.st_uid == os.geteuid():
        with contextlib.suppress(NotRegularError):  # refused when it is opened
            descriptor = open_regular(LOCK_NAME, os.O_RDWR, folder=root.descriptor)
            os.fchmod(descriptor, _MODE)
            os.close(descriptor)


def _find_holders(descriptor: int) -> Iterator[Tuple[int, int]]:
    """Yield the processes that hold a file's lock, and whose they are."""
    inode = str(os.fstat(descriptor).st_ino)
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:  # not every system has /proc
        return
    for line in lines:
        fields = line.split()  # 1: FLOCK ADVISORY WRITE 4242 08:01:131 0 EOF (proc_locks(5))
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
            with contextlib.suppress(OSError):
                yield int(fields[4]), Path("/proc", fields[4]).stat().st_uid


def hold_file(path: Path, who: str, *, what: str, fix: str) -> int:
    """Return the descriptor that holds a file's lock until it is closed.

    What the file says is for the one who finds it taken; a file that was left behind locks nothing. Raises ToolchainError:
    exit 14 in its place is a link, a folder or a FIFO, 17 it is taken.
    """
    try:
        descriptor = open_regular(path, os.O_RDWR | os.O_CREAT, 0o666)  # the umask says who may share it
    except NotRegularError as error:
        raise ToolchainError(
            ExitCode.STORAGE,
            "in the place of a lock is something else",
            where=str(path),
            expected="a regular file",
            found=error.strerror,
            fix=f"look at what it is, and move it away: mv {path} {path}.odd",
        ) from error
    return _hold(descriptor, path, who, what=what, fix=fix)


def _hold(descriptor: int, path: Path, who: str, *, what: str, fix: str) -> int:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 500, 0).decode("utf-8", errors="replace").strip()
        os.close(descriptor)
        raise ToolchainError(ExitCode.BUSY, what, where=str(path), found=holder or None, fix=fix) from error
    with contextlib.suppress(OSError):  # a full disk: what is written next will say so
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} of {who}\n".encode("utf-8", errors="replace"), 0)
    return descriptor
