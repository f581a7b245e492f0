"""How new a bundle is, stated in its manifest, so that a board can refuse an older one or one past its time."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from toolchain.agent.manifest import COUNTER_MAX
from toolchain.errors import usage

# 9999-12-31, the last day that datetime has; and more digits than it has, so that a long text is no long sum.
_LAST_S = 253_402_214_400
_DIGITS_MAX = 20


@dataclass(frozen=True)
class Freshness:
    """`counter` only grows from bundle to bundle; `expires` is UTC, such as 2027-01-31T00:00:00Z, or None for never."""

    counter: int
    expires: str | None


def choose_freshness(folder: Path, *, counter: int | None, expires_days: int | None) -> Freshness:
    """Return the freshness of what is built from a folder: the same for the same commit on the same day.

    The counter is the time of the folder's git commit where none is given, and 0 outside of a repository. The days
    begin with the next midnight UTC. $SOURCE_DATE_EPOCH stands for both times where it is set, as
    reproducible-builds.org specifies.
    """
    epoch_s = _read_epoch_s()
    if counter is None:
        counter = epoch_s if epoch_s is not None else find_commit_time_s(folder) or 0
    elif counter > COUNTER_MAX:
        raise usage(
            "the counter is too large",
            where="--counter",
            expected=f"at most {COUNTER_MAX}",
            found=str(counter),
            fix="give one that still has room above it, such as the time of the commit in seconds",
        )
    expires = None if expires_days is None else _compute_expiry(epoch_s, expires_days)
    return Freshness(counter=counter, expires=expires)


def _compute_expiry(epoch_s: int | None, days: int) -> str:
    try:
        now = datetime.now(UTC) if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC)
        end = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days + 1)
    except (OverflowError, ValueError) as error:
        raise usage(
            "the bundle would expire after the last day that dates have",
            where="--expires-days",
            expected="a day before the year 10000",
            found=f"{days} days",
            fix="give fewer days, or leave it out: then it never expires",
        ) from error
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


def find_commit_time_s(folder: Path) -> int | None:
    """Return the time of the folder's git commit in seconds since 1970; None outside of a repository."""
    # The repository may be a stranger's, whose settings name programs: none checks a signature, none fetches what is missing.
    command = ["git", "-c", "log.showSignature=false", "show", "--no-patch", "--format=%ct", "HEAD"]
    environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "none"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=10
        )
        return int(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _read_epoch_s() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX or int(text) > _LAST_S:
        raise usage(
            "the time of the sources cannot be read",
            where="SOURCE_DATE_EPOCH",
            expected="seconds since 1970, before the year 10000",
            found=repr(text),
            fix="correct the variable, or unset it",
        )
    return int(text)
