"""Names of files that are no UTF-8: a disk may hold them, and no report, key or message can."""

from __future__ import annotations

import os
from pathlib import Path

from toolchain.errors import usage


def is_utf8(name: str) -> bool:
    """Return whether a name or text can be written as UTF-8; what Python makes of other bytes are halves of pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def show_name(name: str | Path) -> str:
    """Return a name as text, in which bytes that are no UTF-8 stand as numbers, each after a backslash and x."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")


def check_path(path: Path, what: str) -> Path:
    """Return a path that is UTF-8; raises ToolchainError (exit 2) for another. what: of whom it is, with an article."""
    if not is_utf8(str(path)):
        raise usage(
            f"the path of {what} is no UTF-8",
            where=show_name(path.parent),
            expected="names in UTF-8: reports hold no others, and safetensors opens no others",
            found=show_name(path.name),
            fix="rename it, or the folder around it",
        )
    return path
