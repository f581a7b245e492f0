"""Files that are there whole or not at all, whatever ends the process that writes them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from toolchain.errors import storage


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all; raises ToolchainError (exit 14) when it cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                temporary.chmod(0o644)
                temporary.replace(path)
            except BaseException:  # an interrupt too must leave nothing
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise storage(OSError(error.errno, error.strerror, str(path))) from error
