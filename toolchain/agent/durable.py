"""Writes that survive a power cut: a file, a link or a tree is the old one or the new one, whole."""

from __future__ import annotations

import contextlib
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
    folder = os.open(str(path.parent), os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_at(folder, path.name, data, mode=mode, temporary=None if temporary is None else temporary.name)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(folder)


def write_at(folder: int, name: str, data: bytes, *, mode: int = _FILE_MODE, temporary: Optional[str] = None) -> None:
    """Do so in a folder that is open."""
    temporary = temporary or name + TEMPORARY_SUFFIX
    _unlink(folder, temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:  # an interrupt too must leave nothing
        _unlink(folder, temporary)
        raise
    os.fsync(folder)


def link_at(folder: int, name: str, target: str) -> None:
    """Point a link in a folder that is open to another target in one step."""
    temporary = name + TEMPORARY_SUFFIX
    _unlink(folder, temporary)
    os.symlink(target, temporary, dir_fd=folder)
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


def _unlink(folder: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


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
