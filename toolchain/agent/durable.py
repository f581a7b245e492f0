"""Writes that survive a power cut: a file, a link or a tree is the old one or the new one, whole."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Optional

_FILE_MODE = 0o644
_FOLDER_MODE = 0o755
TEMPORARY_SUFFIX = ".new"


def sync_path(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk."""
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Write all of a folder to the disk, with plain modes: nothing in it is setuid or runs by itself."""
    for path in folder.iterdir():
        if stat.S_ISDIR(path.lstat().st_mode):
            sync_tree(path)
        else:
            descriptor = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                os.fchmod(descriptor, _FILE_MODE)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    folder.chmod(_FOLDER_MODE)
    sync_path(folder)


def write_file(path: Path, data: bytes, *, mode: int = _FILE_MODE, temporary: Optional[Path] = None) -> None:
    """Replace a file in one step; nothing is written through a link that somebody put in its way.

    `temporary` is where it stands until it is whole, beside the path. One name is enough where a lock keeps others from
    writing, and what a power cut leaves there is written over the next time.
    """
    temporary = temporary or path.with_name(path.name + TEMPORARY_SUFFIX)
    descriptor = os.open(str(temporary), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:  # an interrupt too must leave nothing
        temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def write_link(path: Path, target: str) -> None:
    """Point a link to another target in one step."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    if os.path.lexists(str(temporary)):
        temporary.unlink()
    temporary.symlink_to(target)
    temporary.replace(path)
    sync_path(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename within one file system, and write both folders to the disk."""
    source.rename(target)
    sync_path(target.parent)
    sync_path(source.parent)


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a folder with everything in it; nothing is followed out of it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path))
    elif os.path.lexists(str(path)):
        path.unlink()
