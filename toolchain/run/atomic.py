"""Files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import secrets
from pathlib import Path

from toolchain.agent.durable import write_file
from toolchain.errors import storage


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all; raises ToolchainError (exit 14) when it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: on a host, several processes may write one file at once.
        write_file(path, content, temporary=path.with_name(f".{path.name}.{secrets.token_hex(8)}"))
    except OSError as error:
        raise storage(OSError(error.errno, error.strerror, str(path))) from error
