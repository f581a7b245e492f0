"""The one lock of a board, and of every folder that one process may change at a time: gone with it however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from ..errors import ExitCode, ToolchainError

LOCK_NAME = "lock"


def take_lock(root: Path, who: str) -> int:
    """Return the descriptor that holds a board's lock; see hold_file."""
    what, fix = "another deploy is running on this board", "wait for it to end; the lock goes with its process"
    return hold_file(root / LOCK_NAME, who, what=what, fix=fix)


def hold_file(path: Path, who: str, *, what: str, fix: str) -> int:
    """Return the descriptor that holds a file's lock until it is closed; raises ToolchainError (exit 17) if it is taken.

    What the file says is for the one who finds it taken; a file that was left behind locks nothing.
    """
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o666)  # the umask says who may share it
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
