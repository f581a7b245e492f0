"""One training at a time: the lock of a checkpoint, which ends with its process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from toolchain.errors import ExitCode, ToolchainError


@contextmanager
def lock_training(checkpoint: Path, *, model: str) -> Iterator[None]:
    """Hold the lock beside a checkpoint; of several processes that train together, the first one does.

    Raises ToolchainError (exit 17) where another training holds it: both would write the checkpoint and the weights.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    path = checkpoint.with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ToolchainError(
            ExitCode.BUSY,
            f"another training of {model} is running",
            where=str(path),
            expected="one at a time: both would write the same checkpoint and weights",
            found="a process that holds the lock",
            fix="wait for it, end it, or train into another folder with --out",
        ) from error
    try:
        yield
    finally:
        lock.release()
