"""The lock of an output folder: one deploy at a time, gone with its process however it ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from toolchain.errors import ExitCode, ToolchainError, explain_storage


def lock_folder(out: Path) -> BinaryIO:
    """Return the file that holds the lock of a folder until it is closed; the folder is made where there is none.

    Raises ToolchainError: exit 14 where it cannot be made, 17 where another deploy has it.
    """
    with explain_storage():
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ToolchainError(
            ExitCode.BUSY,
            "another deploy is running",
            where=str(out),
            fix="wait for it, or choose another folder with --out",
        ) from error
    return lock
