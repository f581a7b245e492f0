"""Calls of what somebody else wrote: they end, they do not end the process, and what they print is no answer of the agent's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Iterator

from ..errors import ExitCode, ToolchainError

# Of one call: a batch decoded or added, a metric computed. 8,400 boxes of 64 pictures take about a second on a PC; boards are
# some ten times as slow, and emulated ones a hundred.
CALL_LIMIT_S = 120.0
# A call that catches what ends it is told again every second, and then its process ends.
_AGAIN_S = 1.0
_RINGS_MAX = 10


class _TimeUp(BaseException):
    """No Exception, which the code that is ended might catch."""


@contextlib.contextmanager
def guard_call(kind: str, name: str) -> Iterator[None]:
    """Raise ToolchainError (exit 2) where the block ends the process, or takes longer than CALL_LIMIT_S; its prints go to stderr.

    kind and name: of whose code it is, such as "metric". The time is measured in the main thread alone, and not where a limit
    of somebody else's is running already.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr), _limit_time(f"the {kind} {name}"):
            yield
    except (_TimeUp, SystemExit) as error:
        is_late = isinstance(error, _TimeUp)
        raise ToolchainError(
            ExitCode.USAGE,
            f"the {kind} {name} {'does not end' if is_late else 'ends the process'}",
            where=kind,
            expected=f"a result, in {CALL_LIMIT_S:g} s",
            found="none after that" if is_late else f"SystemExit: {error}",
            fix=f"correct {name}.py: it gets arrays, and returns what they mean",
        ) from error


@contextlib.contextmanager
def _limit_time(what: str) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        yield
        return
    is_running, rings = True, 0

    def ring(_signal: int, _frame: object) -> None:
        nonlocal rings
        if not is_running:  # it rang while the block ended: what runs now is somebody else's
            return
        rings += 1
        if rings > _RINGS_MAX:
            signal.setitimer(signal.ITIMER_REAL, 0)  # it is told once
            os.write(2, f"{what} does not end\n".encode())
            os._exit(ExitCode.USAGE)
        raise _TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, CALL_LIMIT_S, _AGAIN_S)
        yield
    finally:
        is_running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
