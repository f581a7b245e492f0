"""The audit trail, ROOT/log.jsonl: one JSON object a line, appended under the lock and written to the disk at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..clock import format_utc, read_time_s
from ..durable import sync_path

LOG_NAME = "log.jsonl"
# A line has some 300 bytes; more than this is no part of one.
_LINE_BYTES_MAX = 64 * 1024
_WHO_LENGTH_MAX = 200


class AuditLog:
    """Appends to the trail; opening drops a last line that was only half written."""

    def __init__(self, root: Path, *, command: str, who: str) -> None:
        self._fields = {"who": who[:_WHO_LENGTH_MAX], "command": command, "pid": os.getpid()}
        is_new = not (root / LOG_NAME).exists()
        self._descriptor = os.open(str(root / LOG_NAME), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._drop_half_line()
        if is_new:
            sync_path(root)

    def close(self) -> None:
        os.close(self._descriptor)

    def _drop_half_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - _LINE_BYTES_MAX)
        tail = os.pread(self._descriptor, size - start, start)
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(self._descriptor, start + tail.rfind(b"\n") + 1)

    def write(self, state: str, verdict: str, bundle_id: Optional[str], **details: Any) -> None:
        """Append one line; raises OSError where it cannot be kept, and then nothing of it stays."""
        line = {"time": format_utc(read_time_s()), **self._fields, "state": state, "bundle_id": bundle_id}
        data = (json.dumps({**line, "verdict": verdict, **details}) + "\n").encode("ascii")
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):  # a disk that is just full takes a part, and refuses the rest
                os.write(self._descriptor, data[written:])
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise


def read_tail(root: Path, lines: int) -> List[Dict[str, Any]]:
    """Return the last lines of the trail that are whole."""
    try:
        with (root / LOG_NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - lines * _LINE_BYTES_MAX // 16))
            found = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    documents = []
    for line in found[-lines:]:
        try:
            documents.append(json.loads(line.decode("utf-8")))
        except (ValueError, RecursionError):  # the first one may be cut by where reading began; the rest is nobody's
            continue
    return documents
