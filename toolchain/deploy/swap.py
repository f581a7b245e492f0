"""Puts a new folder in the place of an old one in one step."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from toolchain.agent.durable import sync_path

# linux/fcntl.h and linux/fs.h
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders atomically (renameat2, Linux 3.15); return whether this system and file system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    failed = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return not failed


def restore_folder(current: Path, previous: Path) -> None:
    """Undo a replace_folder that was killed between its two renames; otherwise do nothing."""
    if previous.exists() and not current.exists():
        previous.rename(current)


def replace_folder(new: Path, current: Path, previous: Path) -> None:
    """Move `new` to `current`; what was there before is at `new` or at `previous` then, to be removed.

    Where folders can be exchanged, `current` is the old or the new one at every moment. Elsewhere it is gone between
    two renames; restore_folder brings the old one back after a run that was killed there.
    """
    if not current.exists():
        new.rename(current)
    elif not _exchange(new, current):
        current.rename(previous)
        new.rename(current)
    sync_path(current.parent)
