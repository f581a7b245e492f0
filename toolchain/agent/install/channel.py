"""The bytes between a host and this agent: stdin and stdout of the process, in both directions at once."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, Iterator

from ..errors import ExitCode, ToolchainError

_LINE_BYTES_MAX = 4096
_BLOCK_BYTES = 1 << 20


class Channel:
    """Reads lines and counted bytes, sends JSON lines; `on_bytes` is called whenever something came."""

    def __init__(self, reader: int, writer: int, *, on_bytes: Callable[[], None]) -> None:
        self._reader = reader
        self._writer = writer
        self._on_bytes = on_bytes

    def _read(self, size_bytes: int) -> bytes:
        block = os.read(self._reader, size_bytes)
        if not block:
            raise ToolchainError(
                ExitCode.CONNECTION_LOST,
                "the host closed the connection before everything had come",
                fix="deploy again: what came is kept, and the upload goes on from there",
            )
        self._on_bytes()
        return block

    def read_line(self) -> bytes:
        """Return the bytes up to a newline; raises ToolchainError (exit 23) for a line that no host of ours sends."""
        line = b""
        while not line.endswith(b"\n"):
            if len(line) >= _LINE_BYTES_MAX:
                what = "this is not a host of this toolchain"
                raise ToolchainError(
                    ExitCode.MALFORMED,
                    what,
                    where="stdin",
                    expected=f"a line of at most {_LINE_BYTES_MAX} bytes",
                    fix="let `toolchain deploy` and `toolchain enroll` start the agent: it is no command to type",
                )
            line += self._read(1)
        return line

    def read_blocks(self, size_bytes: int) -> Iterator[bytes]:
        """Yield so many bytes in blocks of at most 1 MiB, as they come."""
        left = size_bytes
        while left:
            block = self._read(min(left, _BLOCK_BYTES))
            left -= len(block)
            yield block

    def read_bytes(self, size_bytes: int) -> bytes:
        return b"".join(self.read_blocks(size_bytes))

    def send(self, document: Dict[str, Any]) -> None:
        """Send one JSON object as a line."""
        data = memoryview((json.dumps(document, allow_nan=False) + "\n").encode("ascii"))
        while data:
            data = data[os.write(self._writer, data) :]
