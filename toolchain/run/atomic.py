"""Files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from toolchain.agent.durable import write_file
from toolchain.errors import storage

_TOKEN_BYTES = 8


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all; raises ToolchainError (exit 14) when it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: on a host, several processes may write one file at once.
        write_file(path, content, temporary=path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}"))
    except OSError as error:
        raise storage(OSError(error.errno, error.strerror, str(path))) from error


def remove_with_partials(path: Path) -> None:
    """Remove a file, and what killed writers of it left beside it; nobody else may write it now. Raises OSError."""
    path.unlink(missing_ok=True)
    partial = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{2 * _TOKEN_BYTES}}}")
    for other in path.parent.glob(f".{path.name}.*"):
        if partial.fullmatch(other.name):
            other.unlink(missing_ok=True)
