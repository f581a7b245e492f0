"""Reads the audit trail, through all its logs, and holds each line against what the next one says of it."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from typing import Any, Deque, Dict, Iterator, List, Optional, Tuple

from ..decode import parse_json
from ..errors import ToolchainError
from .audit import LOG_BYTES_MAX, LOG_NAME, hash_line, list_old_logs
from .folder import Folder

# Of a log that grew beyond that, as those of older agents did for ever, the end is read.
_LOG_BYTES_READ = 2 * LOG_BYTES_MAX
_DAMAGE_MAX = 5
_TRIES = 3


@dataclass(frozen=True)
class Trail:
    """The last lines of the trail, and what is wrong with any that was read, in words."""

    lines: List[Dict[str, Any]]
    damage: List[str]


def read_trail(root: Folder, count: int) -> Trail:
    """Return the last `count` lines that can be read; a command may write to the log, or begin a new one, meanwhile."""
    trail = Trail([], [])
    for _ in range(_TRIES):
        names = list_old_logs(root)
        trail = _read_logs(root, [*names, LOG_NAME], count)
        if list_old_logs(root) == names:
            break
    return trail


def _read_logs(root: Folder, names: List[str], count: int) -> Trail:
    lines: Deque[Dict[str, Any]] = deque(maxlen=count)
    damage: List[str] = []
    before: Optional[str] = None  # of the line before; None at the start, and where that was not read
    for name in names:
        try:
            found, is_whole = _read_lines(root, name)
        except (OSError, ToolchainError) as error:
            damage.append(f"{name}: {error.strerror if isinstance(error, OSError) else error.found}")
            continue
        before = before if is_whole else None
        for offset, line in found:
            document = _parse(line)
            if document is None:
                damage.append(f"{name}, byte {offset}: no JSON object")
            else:
                # Lines of older agents say nothing of those before them.
                told = document.get("previous", before)
                if before is not None and told != before:
                    damage.append(f"{name}, byte {offset}: the line before it is not the one that it was written after")
                lines.append(document)
            before = hash_line(line)
    more = len(damage) - _DAMAGE_MAX
    return Trail(list(lines), damage[:_DAMAGE_MAX] + ([f"and {more} more"] if more > 0 else []))


def _read_lines(root: Folder, name: str) -> Tuple[List[Tuple[int, bytes]], bool]:
    """Return the lines of a log that are whole, with where each starts, and whether the log was read from its start."""
    try:
        descriptor = root.open(name, os.O_RDONLY)
    except FileNotFoundError:
        return [], True
    with os.fdopen(descriptor, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _LOG_BYTES_READ)
        file.seek(start)
        data = file.read(_LOG_BYTES_READ)
    lines = list(_split(data, start))
    return (lines, True) if start == 0 else (lines[1:], False)  # the first one is cut by where reading began


def _split(data: bytes, offset: int) -> Iterator[Tuple[int, bytes]]:
    *lines, _ = data.split(b"\n")
    for line in lines:
        yield offset, line + b"\n"
        offset += len(line) + 1


def _parse(line: bytes) -> Optional[Dict[str, Any]]:
    try:
        document = parse_json(line, LOG_NAME)
    except ToolchainError:
        return None
    return document if isinstance(document, dict) else None
