"""The engine that a verdict is about, read once: whoever opens it gets the very bytes that were held against the verdict."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ExitCode, ToolchainError
from .folder import Folder
from .verdict import ENGINES, BuiltEngine

_FIX = "deploy the bundle again, which proves a new one"


@dataclass(frozen=True)
class EngineFile:
    """An engine in memory; `status` is what fstat(2) said of its file before it was read."""

    path: Path
    status: os.stat_result
    data: bytes = field(repr=False)


def read_engine(root: Folder, engine: BuiltEngine) -> EngineFile:
    """Return the bytes of an engine of ROOT/engines, held against the verdict.

    Raises ToolchainError: exit 11 other bytes, a link, or a file that others could change; 14 others could change its folder;
    23 a verdict that names a file elsewhere.
    """
    folder, path = Folder(root.path / ENGINES, within=root), root.path / engine.path
    name = engine.path.partition(f"{ENGINES}/")[2]
    if engine.path != f"{ENGINES}/{name}" or not name or name.startswith(".") or "/" in name:
        what, fix = "the verdict names an engine that is none of this board's", "deploy the bundle again"
        expected = f"{ENGINES}/NAME.engine"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where="engine.path", expected=expected, found=engine.path, fix=fix
        )
    try:
        descriptor = folder.open(name, os.O_RDONLY, code=ExitCode.CONTENT)
    except FileNotFoundError as error:
        raise _refuse(path, f"sha256 {engine.sha256}", "none") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size != engine.size_bytes:
            raise _refuse(path, f"{engine.size_bytes} bytes", f"{status.st_size} bytes")
        data = file.read(engine.size_bytes)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != engine.sha256:
        raise _refuse(path, f"sha256 {engine.sha256}", f"sha256 {sha256}")
    return EngineFile(path=path, status=status, data=data)


def _refuse(path: Path, expected: str, found: str) -> ToolchainError:
    what = "the engine is not the one that was proven"
    return ToolchainError(ExitCode.CONTENT, what, where=str(path), expected=expected, found=found, fix=_FIX)
