"""What is kept of each stage of a run, for the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolchain.run.progress import Progress  # what it shows changes no result, so that it is no part of a key


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run: how long it took, whether the cache had it, and the hash of what it made."""

    name: str
    duration_s: float
    cached: bool
    sha256: str | None


@contextmanager
def record_stage(name: str, records: list[StageRecord], progress: Progress) -> Iterator[None]:
    """Show and record a stage that is never cached, because it is about the board and not about its inputs."""
    started_s = time.monotonic()
    with progress.stage(name):
        yield
    duration_s = round(time.monotonic() - started_s, 3)
    records.append(StageRecord(name=name, duration_s=duration_s, cached=False, sha256=None))
