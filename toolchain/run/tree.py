"""Folders whose content nobody vouches for: listed without following a link, and removed however deep they are."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

# Results have two: the agent's packages in a bundle.
_DEPTH_MAX = 16


def list_files(folder: Path) -> dict[str, int]:
    """Return the files below a folder by path, with their sizes in bytes.

    Raises ValueError for anything else than our own regular files and folders, up to a depth, and OSError.
    """
    files: dict[str, int] = {}
    waiting = [""]
    _check(folder.lstat(), folder, is_folder=True)
    while waiting:
        parent = waiting.pop()
        if parent.count("/") > _DEPTH_MAX:
            raise ValueError(f"folders deeper than {_DEPTH_MAX} in {folder}")
        with os.scandir(folder / parent) as entries:
            for entry in entries:
                path, status = f"{parent}{entry.name}", entry.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                _check(status, folder / path, is_folder=is_folder)
                if is_folder:
                    waiting.append(f"{path}/")
                else:
                    files[path] = status.st_size
    return files


def _check(status: os.stat_result, path: Path, *, is_folder: bool) -> None:
    right = stat.S_ISDIR if is_folder else stat.S_ISREG
    if not right(status.st_mode) or status.st_uid != os.geteuid():
        raise ValueError(f"{path} is no file or folder of ours")


def remove(path: Path) -> None:
    """Remove whatever lies at a path: its name is free at once, also where something in it cannot be removed.

    A link goes, and what it leads to stays. Raises OSError where not even the name can be taken away.
    """
    try:
        is_folder = stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_folder:
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f"{DISCARDED}{secrets.token_hex(8)}")
    path.rename(aside)
    discard(aside)


DISCARDED = "discarded-"
"""How the name of a folder begins that is being removed."""


def discard(folder: Path) -> None:
    """Remove a folder that nobody uses, as far as it can be removed."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        with suppress(OSError):
            _flatten(folder)


def _flatten(folder: Path) -> None:
    """Remove a folder deeper than Python follows: what lies in its folders comes up to it, level by level."""
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                with os.scandir(entry.path) as inner:
                    for item in list(inner):
                        Path(item.path).rename(folder / secrets.token_hex(8))
                Path(entry.path).rmdir()
            else:
                Path(entry.path).unlink()
    folder.rmdir()
