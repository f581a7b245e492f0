"""What is kept of each stage of a run, for the report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run: how long it took, whether the cache had it, and the hash of what it made."""

    name: str
    duration_s: float
    cached: bool
    sha256: str | None
