"""What a deploy leaves on host and board, counted; and whether it grows from one deploy to the next."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "EDGE_TOOLCHAIN_SOAK"
"""A variable that every process of the soak has, on the host and on the board: what is left of them is found by it."""

# A connection that was closed takes sshd some milliseconds to clear away.
_SETTLE_S = 10.0

# What may be more than in the first deploys. Files: none. Bytes: times, durations and counters have more digits or fewer,
# in some twenty files. sshd's memory: a page table or an arena; a leak of a page a deploy is over it after 32.
_MORE_FILES = 0
_MORE_BYTES = 4096
_MORE_SSHD_BYTES = 128 * 1024
# A command's own peak differs by what the allocator gets at a time.
_MORE_PEAK_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """What there is after a deploy."""

    board_files: int
    """Below ROOT, without logs."""
    board_bytes: int
    """Of those: each file once, whatever names it has."""
    log_bytes: int
    """Of ROOT/log.jsonl and the logs of before."""
    cache_files: int
    cache_bytes: int
    out_files: int
    out_bytes: int
    temporary_files: int
    """Files and folders in the TMPDIR of host and board, and in the host's HOME."""
    processes: int
    """Of host and board that are still there."""
    sshd_descriptors: int
    sshd_bytes: int
    """Of memory."""
    peak_bytes: int
    """The most memory that the command on the host took, with all that it started there."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What is bounded by a limit of its own, and reaches it later than the first deploys."""

    log_bytes: int
    cache_bytes: int


def find_growth(rows: Sequence[Leftovers], *, warm_up: int, bounds: Bounds) -> list[str]:
    """Return what grew, one sentence each: what is beyond the most of the first `warm_up` deploys, or beyond its bound."""
    if len(rows) <= warm_up:
        raise ValueError(f"{len(rows)} deploys show nothing after a warm-up of {warm_up}")
    first, later = rows[:warm_up], rows[warm_up:]
    peak = first[-1].peak_bytes  # the first ones built what the later ones find in the cache
    allowed = {
        **{name: max(getattr(row, name) for row in first) + more for name, more in _ALLOWANCES.items()},
        "peak_bytes": peak + int(peak * _MORE_PEAK_SHARE),
        "log_bytes": bounds.log_bytes,
        "cache_bytes": bounds.cache_bytes,
        "processes": 0,
    }
    found = []
    for name, most in allowed.items():
        # What has a limit of its own keeps it from the start.
        judged = later if name in {*_ALLOWANCES, "peak_bytes"} else rows
        worst = max(getattr(row, name) for row in judged)
        if worst > most:
            found.append(f"{name}: at most {most} were expected, and there are {worst}")
    return found


_ALLOWANCES: Mapping[str, int] = {
    "board_files": _MORE_FILES,
    "board_bytes": _MORE_BYTES,
    "out_files": _MORE_FILES,
    "out_bytes": _MORE_BYTES,
    "temporary_files": _MORE_FILES,
    "sshd_descriptors": 0,
    "sshd_bytes": _MORE_SSHD_BYTES,
}


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where host and board leave something."""

    root: Path
    cache: Path
    out: Path
    temporary: Sequence[Path]
    sshd: int
    """The process that waits for connections."""
    mark: str


def count_leftovers(places: Places, *, peak_bytes: int) -> Leftovers:
    """Return what lies there now, once the processes that are about to end have ended."""
    processes = _wait_for_end(places)
    logs = sorted(places.root.glob("log.*"))
    board = [path for path in _list_files(places.root) if path not in logs]
    return Leftovers(
        board_files=len(board),
        board_bytes=_measure(board),
        log_bytes=_measure(logs),
        cache_files=len(_list_files(places.cache)),
        cache_bytes=_measure(_list_files(places.cache)),
        out_files=len(_list_files(places.out)),
        out_bytes=_measure(_list_files(places.out)),
        temporary_files=sum(len(list(folder.rglob("*"))) for folder in places.temporary),
        processes=len(processes),
        sshd_descriptors=len(list(Path(f"/proc/{places.sshd}/fd").iterdir())),
        sshd_bytes=int(Path(f"/proc/{places.sshd}/statm").read_text(encoding="ascii").split()[1]) * mmap.PAGESIZE,
        peak_bytes=peak_bytes,
    )


def list_marked(mark: str) -> list[int]:
    """Return the processes, but for this one, that were started with a value of the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if path.parent.name != str(os.getpid()) and wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def _wait_for_end(places: Places) -> list[int]:
    until_s = time.monotonic() + _SETTLE_S
    while (left := [item for item in list_marked(places.mark) if item != places.sshd]) and time.monotonic() < until_s:
        time.sleep(0.05)
    return left


def _list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]


def _measure(paths: Sequence[Path]) -> int:
    """Return the bytes of files: one with several names once, of a link its own."""
    sizes = {}
    for path in paths:
        status = path.lstat()
        sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
