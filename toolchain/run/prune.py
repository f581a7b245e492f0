"""What the cache holds, and the removal of what nobody has used for long, or that there is no room for."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from toolchain.errors import usage
from toolchain.run.cache_folder import find_first_start_ns, find_lock, lock_entry
from toolchain.run.tree import DISCARDED, discard, remove

ENTRY = "entry.json"
"""The file of an entry that says what it is; its time of change is when the entry was last used."""
PARTIAL = "partial-"
WORK = "work"

UNUSED_DAYS_MAX = 90.0
SIZE_MAX_GB = 20.0
"""A deploy of resnet8, whose float model has 318 kB, leaves 4.3 MB: three copies of it, two payloads, and a bundle."""
SIZE_VARIABLE = "TOOLCHAIN_CACHE_MAX_GB"

_DAY_NS = 24 * 3600 * 10**9
_NEVER_NS = 2**63
_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A result that the cache holds."""

    folder: Path
    size_bytes: int
    used_ns: int
    """When it was made or last used, since the epoch."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What a removal took away, and what is left."""

    entries: int
    size_bytes: int
    left_entries: int
    left_bytes: int


def list_entries(root: Path) -> list[Kept]:
    """Return the results in the cache, the longest unused first."""
    found = []
    for folder in _list_keyed(root):
        try:
            used_ns = (folder / ENTRY).lstat().st_mtime_ns
        except OSError:
            continue  # no result, or gone meanwhile
        found.append(Kept(folder=folder, size_bytes=_measure(folder), used_ns=used_ns))
    return sorted(found, key=lambda kept: kept.used_ns)


def read_size_max_gb() -> float:
    """Return how large the cache may be, of the environment or the default; raises ToolchainError (exit 2)."""
    text = os.environ.get(SIZE_VARIABLE, "")
    if not text:
        return SIZE_MAX_GB
    try:
        size_gb = float(text)
    except ValueError:
        size_gb = math.nan
    if not 0 <= size_gb < math.inf:
        raise usage(
            f"{SIZE_VARIABLE} is no size",
            where="the environment",
            expected="gigabytes, such as 20",
            found=ascii(text[:80]),
            fix=f"correct it, or unset {SIZE_VARIABLE}",
        )
    return size_gb


def prune_cache(root: Path, *, unused_days_max: float, size_max_gb: float) -> Pruned:
    """Remove results that were not used for so long, then the longest unused until the others have room.

    What a running command uses stays, and so does what is being built. Files that commands share (times of machines, data
    sets that were downloaded, the emulated board) are no results, and stay.
    """
    unused_ns = time.time_ns() - int(unused_days_max * _DAY_NS)
    first_ns = find_first_start_ns(root)
    free_before_ns = _NEVER_NS if first_ns is None else first_ns
    entries = list_entries(root)
    size_bytes = total_bytes = sum(kept.size_bytes for kept in entries)
    removed = 0
    for kept in entries:
        is_due = kept.used_ns < unused_ns or size_bytes > size_max_gb * 1e9
        if is_due and kept.used_ns < free_before_ns and _remove_entry(kept):
            size_bytes -= kept.size_bytes
            removed += 1
    _remove_remains(root, min(unused_ns, free_before_ns))
    return Pruned(
        entries=removed,
        size_bytes=total_bytes - size_bytes,
        left_entries=len(entries) - removed,
        left_bytes=size_bytes,
    )


def _remove_entry(kept: Kept) -> bool:
    """Return whether an entry was removed, with its lock: not one that is held, or that was used since it was looked at."""
    try:
        with lock_entry(kept.folder, timeout_s=0):
            if (kept.folder / ENTRY).lstat().st_mtime_ns != kept.used_ns:
                return False
            remove(kept.folder)
            find_lock(kept.folder).unlink(missing_ok=True)
            return True
    except (Timeout, OSError):
        return False


def _remove_remains(root: Path, before_ns: int) -> None:
    """Remove what killed commands have left: half results, folders of long builds, locks of results that are not there."""
    for stage in _list_folders(root):
        for path in _list_folders(stage):
            is_work = stage.name == WORK and _KEY.fullmatch(path.name) is not None
            if path.name.startswith(DISCARDED) or (is_work and path.lstat().st_mtime_ns < before_ns):
                discard(path)
        clear_partials(stage)
        for lock in stage.glob("*.lock"):
            folder = lock.with_suffix("")
            if _KEY.fullmatch(folder.name) and not folder.exists():
                _remove_lock(folder)


def clear_partials(stage: Path) -> None:
    """Remove what killed runs left behind; a partial folder whose lock is held is someone else's work.

    Process numbers would not do: a number is given out again, and means nothing in another container.
    """
    for partial in stage.glob(f"{PARTIAL}*"):
        try:
            with lock_entry(stage / partial.name.removeprefix(PARTIAL), timeout_s=0):
                remove(partial)
        except (Timeout, OSError):
            continue


def _remove_lock(folder: Path) -> None:
    try:
        with lock_entry(folder, timeout_s=0):
            if not folder.exists():
                find_lock(folder).unlink(missing_ok=True)
    except (Timeout, OSError):
        return


def _list_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _list_keyed(root: Path) -> Iterator[Path]:
    for stage in _list_folders(root):
        if stage.name != WORK:
            yield from (folder for folder in _list_folders(stage) if _KEY.fullmatch(folder.name))


def _measure(folder: Path) -> int:
    """Return the bytes of the files below a folder, whatever else lies there; no link is followed."""
    size_bytes, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size_bytes += entry.stat(follow_symlinks=False).st_size
        except OSError:  # gone meanwhile, or deeper than the system has paths
            continue
    return size_bytes
