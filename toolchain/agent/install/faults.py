"""Breaks a run on purpose, for tests and power-cut rigs alone: `install --fault STATE:entry|exit:KIND`.

The option is not in --help, has no default, is read from nowhere but this one command line, and no other part of the
toolchain passes it. KIND is

kill    SIGKILL to the agent, as the kernel does when memory is short, or a power cut without losing what was written
error   an exception that nobody expects
full    ENOSPC, as every write could raise
hang    nothing happens any more; the end of the state's time limit comes at once, so that no test waits for it
stop    SIGSTOP, so that a test can change the board in between and let the agent go on with SIGCONT
"""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass
from typing import Callable, Dict, Sequence

from ..errors import ExitCode, ToolchainError

EDGES = ("entry", "exit")


def _raise_error() -> None:
    message = "injected fault"
    raise RuntimeError(message)


def _raise_full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _hang() -> None:
    # Where no time limit were armed, the default action of the signal would end the agent, and a test would see that.
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while True:
        signal.pause()


KINDS: Dict[str, Callable[[], None]] = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "error": _raise_error,
    "full": _raise_full,
    "hang": _hang,
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and where."""

    state: str
    edge: str
    kind: str

    def strike(self, state: str, edge: str) -> None:
        """Go wrong if this is the place."""
        if (state, edge) == (self.state, self.edge):
            KINDS[self.kind]()


def parse_fault(text: str, states: Sequence[str]) -> Fault:
    """Return the fault that STATE:EDGE:KIND names; raises ToolchainError (exit 2) for one that could never strike."""
    parts = text.split(":")
    if len(parts) != 3 or parts[0] not in states or parts[1] not in EDGES or parts[2] not in KINDS:
        expected = f"one of {', '.join(states)} : {' or '.join(EDGES)} : {', '.join(KINDS)}"
        raise ToolchainError(ExitCode.USAGE, "there is no such fault", "--fault", expected, text)
    return Fault(*parts)
