"""The audit trail, ROOT/log.jsonl: one JSON object a line, appended under the lock and written to the disk at once.

Every line has the sha256 of the line before it, so that one that was changed, removed or added is found (trail.py). A log
that has grown becomes log.N.jsonl, of which the last few stay; the first line of the next one goes on from its last.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from typing import Any, List, Optional

from ..clock import format_utc, read_time_s
from .folder import Folder

LOG_NAME = "log.jsonl"
_OLD_NAME = re.compile(r"log\.([1-9][0-9]{0,8})\.jsonl")
# A deploy writes 4.7 kB (the boards of the tests): this is the last hundred, and with what is kept the last four hundred.
LOG_BYTES_MAX = 512 * 1024
KEPT_LOGS = 3
# The longest line is that of `enroll`, with two files of signers of 1 MiB each, of which JSON makes at most six times that.
LINE_BYTES_MAX = 16 << 20
_TAIL_BYTES = 64 * 1024
_WHO_LENGTH_MAX = 200


def list_old_logs(root: Folder) -> List[str]:
    """Return the logs of before, oldest first."""
    found = [
        (int(match.group(1)), name) for name in root.list_names() for match in [_OLD_NAME.fullmatch(name)] if match
    ]
    return [name for _, name in sorted(found)]


class AuditLog:
    """Appends to the trail; opening drops a last line that was only half written, and begins a new log where it is time."""

    def __init__(self, root: Folder, *, command: str, who: str) -> None:
        self._fields = {"who": who[:_WHO_LENGTH_MAX], "command": command, "pid": os.getpid()}
        self._previous: Optional[str] = None
        self._descriptor = self._open(root)
        if os.fstat(self._descriptor).st_size >= LOG_BYTES_MAX and self._retire(root):
            self.close()
            self._descriptor = self._open(root)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self, root: Folder) -> int:
        descriptor = root.open(LOG_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        if os.fstat(descriptor).st_size == 0:
            os.fsync(root.descriptor)
        _drop_half_line(descriptor)
        last = _hash_last_line(descriptor)
        if last is None:
            old = list_old_logs(root)
            if old:
                before = root.open(old[-1], os.O_RDONLY)
                last = _hash_last_line(before)
                os.close(before)
        self._previous = last
        return descriptor

    def _retire(self, root: Folder) -> bool:
        """Give the log its number, and remove what is beyond those kept; return whether that is done.

        One rename: whatever ends this process, each line is in one log. A disk that takes no new name now does so later.
        """
        old = list_old_logs(root)
        number = 1 + (int(old[-1].split(".")[1]) if old else 0)
        try:
            root.rename(LOG_NAME, f"log.{number}.jsonl")
        except OSError:
            return False
        with contextlib.suppress(OSError):
            for name in list_old_logs(root)[:-KEPT_LOGS]:
                root.remove(name)
        return True

    def write(self, state: str, verdict: str, bundle_id: Optional[str], **details: Any) -> None:
        """Append one line; raises OSError where it cannot be kept, and then nothing of it stays."""
        line = {"time": format_utc(read_time_s()), **self._fields, "state": state, "bundle_id": bundle_id}
        document = {**line, "verdict": verdict, **details, "previous": self._previous}
        data = (json.dumps(document) + "\n").encode("ascii")
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):  # a disk that is just full takes a part, and refuses the rest
                os.write(self._descriptor, data[written:])
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise
        self._previous = hash_line(data)


def hash_line(line: bytes) -> str:
    """Return what the next line says of this one, its newline included."""
    return hashlib.sha256(line).hexdigest()


def _read_tail(descriptor: int, enough: int) -> bytes:
    """Return the end of a file, with so many newlines or up to the longest line."""
    size = os.fstat(descriptor).st_size
    length = min(size, _TAIL_BYTES)
    while True:
        tail = os.pread(descriptor, length, size - length)
        if tail.count(b"\n") >= enough or length in (size, LINE_BYTES_MAX):
            return tail
        length = min(size, 4 * length, LINE_BYTES_MAX)


def _drop_half_line(descriptor: int) -> None:
    tail = _read_tail(descriptor, 1)
    if not tail or tail.endswith(b"\n"):
        return
    size = os.fstat(descriptor).st_size
    if b"\n" in tail or len(tail) == size:
        os.ftruncate(descriptor, size - len(tail) + tail.rfind(b"\n") + 1)
    else:  # longer than any line of ours: it is somebody's, and stays as a line that cannot be read
        os.write(descriptor, b"\n")


def _hash_last_line(descriptor: int) -> Optional[str]:
    tail = _read_tail(descriptor, 2)
    return hash_line(tail[tail[:-1].rfind(b"\n") + 1 :]) if tail else None
