"""Names of files that are no UTF-8: a disk may hold them, and no report, key or message can."""

from __future__ import annotations

import os
from pathlib import Path


def is_utf8(name: str) -> bool:
    """Return whether a name or text can be written as UTF-8; what Python makes of other bytes are halves of pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def show_name(name: str | Path) -> str:
    """Return a name as text, in which bytes that are no UTF-8 stand as numbers, each after a backslash and x."""
    return os.fsencode(name).decode("utf-8", errors="backslashreplace")
