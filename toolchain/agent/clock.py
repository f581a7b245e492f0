"""Reads the date and holds the board's clocks against each other (durations are measured in latency.py)."""

from __future__ import annotations

import calendar
import time
from typing import Dict, Optional

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
# 2026-01-01, before the first bundle that could expire. A board without a battery wakes up in 1970.
EARLIEST_S = 1_767_225_600


def read_time_s() -> int:
    """Return the seconds since 1970 as this board believes."""
    return int(time.time())


def read_clocks_ns() -> Dict[str, Optional[int]]:
    """Return the clocks that must go alike, in ns: that of durations, the hardware's, the one that counts sleep.

    And process_ns, how long this process computed. None where the system has no such clock.
    """
    others = {"raw_ns": "CLOCK_MONOTONIC_RAW", "boot_ns": "CLOCK_BOOTTIME"}
    numbers = {name: getattr(time, clock, None) for name, clock in others.items()}
    return {
        "monotonic_ns": time.monotonic_ns(),
        **{name: None if number is None else time.clock_gettime_ns(number) for name, number in numbers.items()},
        "process_ns": time.process_time_ns(),
    }


def read_monotonic_ns() -> int:
    """Return the clock of durations in ns, which all processes of a board share (CLOCK_MONOTONIC, clock_gettime(2))."""
    return time.monotonic_ns()


def format_utc(time_s: int) -> str:
    """Return a time as in a manifest, such as 2027-01-31T00:00:00Z."""
    return time.strftime(_FORMAT, time.gmtime(time_s))


def parse_utc(text: str) -> int:
    """Return the seconds since 1970 of such a time; raises ValueError for any other spelling."""
    time_s = calendar.timegm(time.strptime(text, _FORMAT))
    if format_utc(time_s) != text:
        message = f"not as {_FORMAT}: {text!r}"
        raise ValueError(message)
    return time_s


def is_plausible(time_s: int, *, not_before_s: int) -> bool:
    """Return whether a clock can be right: not before this project, nor before a time that is known to be past."""
    return time_s >= max(EARLIEST_S, not_before_s)
