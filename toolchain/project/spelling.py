"""Did you mean: the one fix for a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def find_near(name: str, known: Iterable[str], *, count: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names that are spelled nearly so, the nearest first; cutoff: the least likeness, of 1."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def suggest_name(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """Return the fix for a name that is not there: the one that was meant, or what to do where none is near."""
    near = find_near(name, known)
    return f"write {near[0]}" if near else otherwise
