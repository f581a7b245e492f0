"""The lock of an output folder: one deploy at a time, gone with its process however it ends."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import BinaryIO

from toolchain.agent.install.lock import hold_file
from toolchain.errors import explain_storage


def lock_folder(out: Path) -> BinaryIO:
    """Return the file that holds the lock of a folder until it is closed; the folder is made where there is none.

    Raises ToolchainError: exit 14 where it cannot be made, 17 where another deploy has it.
    """
    what, fix = "another deploy is running", "wait for it, or choose another folder with --out"
    with explain_storage():
        out.mkdir(parents=True, exist_ok=True)
        return os.fdopen(hold_file(out / ".lock", platform.node(), what=what, fix=fix), "rb+")
