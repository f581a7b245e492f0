"""Did you mean: the one fix for a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest_name(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """Return the fix for a name that is not among the known: the nearest of them, or what else there is to do."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"write {near[0]}" if near else otherwise
