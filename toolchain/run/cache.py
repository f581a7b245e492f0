"""The cache of stages: a folder per result, named by the content of everything that it was made from.

An entry is complete or absent. A stage writes into a folder of its own beside the cache; only when it is
done are its files hashed, synced and the folder renamed into place. A run killed at any moment leaves at
most a `partial-*` folder, which nobody reads and the next run clears away. Entries are checked against
their hashes when they are used, so a file that was damaged later is rebuilt and not trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from toolchain.agent.durable import sync_path
from toolchain.errors import missing

_ENTRY = "entry.json"
_PARTIAL = "partial-"


@dataclass(frozen=True)
class Entry:
    """A finished result: the folder with its files, and the sha256 over their names and contents."""

    folder: Path
    sha256: str
    cached: bool


class Cache:
    """Results of stages under one root folder, shared by runs and projects."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, stage: str, inputs: Mapping[str, Any]) -> bool:
        """Return whether there is an entry that is complete and unchanged."""
        return self.find(stage, inputs) is not None

    def find(self, stage: str, inputs: Mapping[str, Any]) -> Entry | None:
        """Return the entry that is there, complete and unchanged, or None."""
        folder = self._find_folder(stage, inputs)
        sha256 = _check_entry(folder)
        return None if sha256 is None else Entry(folder, sha256, cached=True)

    def _find_folder(self, stage: str, inputs: Mapping[str, Any]) -> Path:
        return self._root / stage / hash_json({"stage": stage, **inputs})

    def find_work_folder(self, stage: str, inputs: Mapping[str, Any]) -> Path:
        """Return a folder for what a long build wants to find again after an interruption; the build removes it."""
        return self._root / "work" / self._find_folder(stage, inputs).name

    def get_or_build(self, stage: str, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Entry:
        """Return the entry for a stage and its inputs; build(folder) makes the files where there is none.

        `inputs` must say everything that the result depends on, as JSON types. Two runs that need the same
        entry at once build it once: the second waits.
        """
        folder = self._find_folder(stage, inputs)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock_entry(folder):
            sha256 = _check_entry(folder)
            if sha256 is not None:
                return Entry(folder, sha256, cached=True)
            partial = folder.with_name(f"{_PARTIAL}{folder.name}")
            for left_over in (folder, partial):  # no one else's, as this run holds the lock
                shutil.rmtree(left_over, ignore_errors=True)
            _clear_partials(folder.parent)
            partial.mkdir()
            try:
                build(partial)
                sha256 = _seal(partial, inputs)
                partial.rename(folder)
                sync_path(folder.parent)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            return Entry(folder, sha256, cached=False)


def cache_root() -> Path:
    """Return the folder of the cache: $TOOLCHAIN_CACHE, or edge-toolchain in the user's cache folder."""
    if configured := os.environ.get("TOOLCHAIN_CACHE"):
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-toolchain"


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


def _check_entry(folder: Path) -> str | None:
    """Return the entry's sha256 where it is complete and unchanged, else None."""
    try:
        document = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
        files: dict[str, str] = document["files"]
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {_ENTRY}
        intact = present == files.keys() and all(hash_file(folder / name) == sha for name, sha in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return hash_json(files) if intact else None


def _seal(folder: Path, inputs: Mapping[str, Any]) -> str:
    """Write the entry's hashes, sync all of it to the disk, and return the sha256 over the files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}
    document = {"inputs": inputs, "files": files}
    (folder / _ENTRY).write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")
    for path in [*paths, folder / _ENTRY, folder]:
        sync_path(path)
    return hash_json(files)


def _lock_entry(folder: Path, *, timeout_s: float = -1) -> FileLock:
    """Return the lock that its builder holds; the system frees it when the process ends, however it ends."""
    return FileLock(f"{folder}.lock", timeout=timeout_s)


def _clear_partials(parent: Path) -> None:
    """Remove what killed runs left behind; a partial folder whose lock is held is someone else's work.

    Process numbers would not do: a number is given out again, and means nothing in another container.
    """
    for partial in parent.glob(f"{_PARTIAL}*"):
        with suppress(Timeout), _lock_entry(parent / partial.name.removeprefix(_PARTIAL), timeout_s=0):
            shutil.rmtree(partial, ignore_errors=True)
