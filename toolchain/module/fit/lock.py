"""One training at a time: the lock of a checkpoint, which ends with its process, however that ends."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.agent.install.lock import hold_file


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
    what, fix = (
        f"another training of {model} is running",
        "wait for it, end it, or train into another folder with --out",
    )
    descriptor = hold_file(path, platform.node(), what=what, fix=fix)
    try:
        yield
    finally:
        os.close(descriptor)
