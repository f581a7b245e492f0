"""Keeps what a native library prints on standard output, which is for the command's own result."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

# As TensorRT's own logger begins an error: [11/24/2026-09:52:55] [TRT] [E] TEXT
_ERROR = re.compile(r"^\[[^]]*\] \[TRT\] \[E\] (.+)$", re.MULTILINE)


class NativeLog:
    """What was printed while it was kept."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read_errors(self) -> list[str]:
        """Return TensorRT's errors so far, each without its lines of detail, oldest first."""
        self._file.seek(0)
        return _ERROR.findall(self._file.read().decode(errors="replace"))


@contextmanager
def keep_native_log() -> Iterator[NativeLog]:
    """Keep what is written to file descriptor 1 until the block ends, by any thread of this process."""
    sys.stdout.flush()
    stdout = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield NativeLog(file)
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
