"""The cache of stages: a folder per result, named by the content of everything that it was made from.

An entry is complete or absent. A stage writes into a folder of its own beside the cache; only when it is
done are its files hashed, synced and the folder renamed into place. A run killed at any moment leaves at
most a `partial-*` folder, which nobody reads and the next run clears away. Entries are checked against
their hashes when they are used, so a file that was damaged later is rebuilt and not trusted; so is an entry under another's
name, and whatever is no regular file of the user's own. It is no protection from who may write as the user: a forged entry
with its hashes is an entry. Hence the folder must be the user's alone (docs/cache.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from toolchain.agent.durable import sync_path
from toolchain.errors import missing, usage
from toolchain.run.cache_folder import lock_entry, mark_running, open_root, open_stage
from toolchain.run.prune import ENTRY, PARTIAL, UNUSED_DAYS_MAX, WORK, clear_partials, prune_cache, read_size_max_gb
from toolchain.run.regular_file import open_regular, read_regular
from toolchain.run.tree import list_files, remove

# A hundred bytes for each file and input; the one of a bundle has 20 KB.
_ENTRY_MAX = 16 << 20


@dataclass(frozen=True)
class Entry:
    """A finished result: the folder with its files, and the sha256 over their names and contents."""

    folder: Path
    sha256: str
    cached: bool


class Cache:
    """Results of stages under one root folder, shared by the runs and projects of one user."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_open = False
        self._has_room = False

    def has(self, stage: str, inputs: Mapping[str, Any]) -> bool:
        """Return whether there is an entry that is complete and unchanged."""
        return self.find(stage, inputs) is not None

    def find(self, stage: str, inputs: Mapping[str, Any]) -> Entry | None:
        """Return the entry that is there, complete and unchanged, or None.

        Raises ToolchainError (exit 2) for a cache that is not the user's alone.
        """
        self._open()
        folder = self._find_folder(stage, inputs)
        sha256 = _use_entry(folder)
        return None if sha256 is None else Entry(folder, sha256, cached=True)

    def _find_folder(self, stage: str, inputs: Mapping[str, Any]) -> Path:
        return self._root / stage / _make_key(stage, inputs)

    def find_work_folder(self, stage: str, inputs: Mapping[str, Any]) -> Path:
        """Return a folder for what a long build wants to find again after an interruption; the build removes it."""
        return self._root / WORK / self._find_folder(stage, inputs).name

    def get_or_build(self, stage: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Entry:
        """Return the entry for a stage and its inputs; build(folder) makes the files where there is none.

        `inputs` must say everything that the result depends on, as JSON types. Two runs that need the same
        entry at once build it once: the second waits. Before the first build, what was not used for long makes room.
        Raises ToolchainError (exit 2) for a cache that is not the user's alone.
        """
        self._open()
        folder = self._find_folder(stage, inputs)
        open_stage(folder.parent)
        with lock_entry(folder):
            sha256 = _use_entry(folder)
            if sha256 is not None:
                return Entry(folder, sha256, cached=True)
            self._make_room()
            partial = folder.with_name(f"{PARTIAL}{folder.name}")
            for left_over in (folder, partial):  # no one else's, as this run holds the lock
                remove(left_over)
            clear_partials(folder.parent)
            partial.mkdir()
            try:
                build(partial)
                sha256 = _seal(partial, inputs)
                partial.rename(folder)
                sync_path(folder.parent)
            finally:
                with suppress(OSError):  # a disk that refuses: the next run clears it away
                    remove(partial)
            return Entry(folder, sha256, cached=False)

    def _open(self) -> None:
        """Check the folder, and keep what this command uses from being removed, for the life of this object."""
        if not self._is_open:
            open_root(self._root)
            weakref.finalize(self, os.close, mark_running(self._root))
            self._is_open = True

    def _make_room(self) -> None:
        if not self._has_room:
            prune_cache(self._root, unused_days_max=UNUSED_DAYS_MAX, size_max_gb=read_size_max_gb())
            self._has_room = True


def cache_root() -> Path:
    """Return the folder of the cache: $TOOLCHAIN_CACHE, or edge-toolchain in the user's cache folder."""
    if configured := os.environ.get("TOOLCHAIN_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or find_home() / ".cache") / "edge-toolchain"


def find_home() -> Path:
    """Return the user's home folder; raises ToolchainError (exit 2) for a user of a container or service that has none."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise usage(
            "the user has no home folder",
            where="HOME",
            expected="a folder; TOOLCHAIN_CACHE or XDG_CACHE_HOME for the cache alone",
            found=f"none, and no user {os.geteuid()} on this machine",
            fix="set HOME, or TOOLCHAIN_CACHE, to a folder of your own",
        ) from error


def hash_file(path: Path) -> str:
    """Return the sha256 of a file's content, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: object) -> str:
    """Return the sha256 of a value of JSON types, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def hash_sources(*paths: Path) -> str:
    """Return the sha256 over the Python files at the paths (folders: all below): the version of that code.

    Hidden folders, such as the .venv of a project whose recipe lies at its top, are no part of it.
    """
    files = [file for path in paths for file in (_list_sources(path) if path.is_dir() else [path])]
    return hash_json([[file.name, hash_file(file)] for file in sorted(files)])


def read_versions(*distributions: str) -> dict[str, str]:
    """Return the installed version of each distribution, without importing it.

    Raises ToolchainError (exit 3) where one is not installed.
    """
    try:
        return {name: metadata.version(name) for name in distributions}
    except metadata.PackageNotFoundError as error:
        raise missing(f"{error.name} is not installed", fix=f"python -m pip install {error.name}") from error


def find_version(distribution: str) -> str | None:
    """Return the version of a distribution that need not be installed; None where it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _list_sources(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in folder.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            found += _list_sources(path)
        elif path.suffix == ".py" and path.is_file():
            found.append(path)
    return found


def _make_key(stage: str, inputs: Mapping[str, Any]) -> str:
    return hash_json({"stage": stage, **inputs})


def _use_entry(folder: Path) -> str | None:
    """Return the entry's sha256 where it is complete and unchanged, else None; note that it is used."""
    if folder.parent.is_symlink() or folder.is_symlink():
        return None
    with suppress(OSError):  # before it is checked: from now on it is not removed
        os.utime(folder / ENTRY, follow_symlinks=False)
    try:
        document = json.loads(read_regular(folder / ENTRY, size_max=_ENTRY_MAX, follow=False))
        files: dict[str, str] = document["files"]
        intact = (
            _make_key(folder.parent.name, document["inputs"]) == folder.name
            and list_files(folder).keys() - {ENTRY} == files.keys()
            and all(_hash_regular(folder / name) == sha256 for name, sha256 in files.items())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return hash_json(files) if intact else None


def _hash_regular(path: Path) -> str:
    with open_regular(path, follow=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(folder: Path, inputs: Mapping[str, Any]) -> str:
    """Write the entry's hashes, sync all of it to the disk, and return the sha256 over the files."""
    files = {name: _hash_regular(folder / name) for name in sorted(list_files(folder))}
    document = {"inputs": inputs, "files": files}
    (folder / ENTRY).write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
    for path in [*(folder / name for name in files), folder / ENTRY, folder]:
        sync_path(path)
    return hash_json(files)
