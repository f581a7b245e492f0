"""Ends what makes no progress: SIGALRM interrupts the main thread wherever Python runs or waits."""

from __future__ import annotations

import contextlib
import signal
from typing import Iterator


class TimeUpError(Exception):
    """Nothing moved for the time that a state has. A process that waits in the kernel for a disk cannot be interrupted."""


def _ring(_signal: int, _frame: object) -> None:
    raise TimeUpError


class Watchdog:
    """A time limit for one state at a time, in seconds; `extend` starts it anew where there was progress."""

    def __init__(self) -> None:
        self._limit_s = 0.0

    @contextlib.contextmanager
    def watch(self, limit_s: float) -> Iterator[None]:
        """Raise TimeUpError inside of the block once it took longer."""
        before = signal.signal(signal.SIGALRM, _ring)
        self._limit_s = limit_s
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            self._limit_s = 0.0

    def extend(self) -> None:
        """Say that there was progress."""
        signal.setitimer(signal.ITIMER_REAL, self._limit_s)
