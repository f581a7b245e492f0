"""The one lock of a board: held by the process that changes something there, gone with it however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..errors import ExitCode, ToolchainError

LOCK_NAME = "lock"


def take_lock(root: Path, who: str) -> int:
    """Return the descriptor that holds the lock until it is closed; raises ToolchainError (exit 17) if it is taken.

    What the file says is for the one who finds it taken; a file that was left behind locks nothing.
    """
    path = root / LOCK_NAME
    descriptor = os.open(str(path), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 500, 0).decode("utf-8", errors="replace").strip()
        os.close(descriptor)
        what, fix = "another deploy is running on this board", "wait for it to end; the lock goes with its process"
        raise ToolchainError(ExitCode.BUSY, what, str(path), found=holder or None, fix=fix) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} of {who}\n".encode("utf-8", errors="replace"), 0)
    return descriptor
