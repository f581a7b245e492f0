"""The board's command, broken on purpose: `python -m tests.agent.faults install ... --fault STATE:entry|exit:KIND`.

It is the real one, with something that goes wrong before or after one of its states. KIND is

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
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolchain.agent.install import states
from toolchain.agent.install.__main__ import main

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


KINDS: dict[str, Callable[[], None]] = {
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


def parse_fault(text: str, names: Sequence[str]) -> Fault:
    """Return the fault that STATE:EDGE:KIND names; a fault that could never strike ends the process: no test may pass by it."""
    parts = text.split(":")
    if len(parts) != 3 or parts[0] not in names or parts[1] not in EDGES or parts[2] not in KINDS:
        sys.exit(f"there is no fault {text}: one of {names} : {EDGES} : {list(KINDS)}")
    return Fault(*parts)


def inject_fault(fault: Fault) -> None:
    """Have every state of this process pass by the fault."""
    pass_state = states.pass_state

    def pass_broken_state(run: states.Deployment, state: states.State) -> None:
        fault.strike(state.name, "entry")
        pass_state(run, state)
        fault.strike(state.name, "exit")

    states.pass_state = pass_broken_state


if __name__ == "__main__":
    arguments = sys.argv[1:]
    place = arguments.index("--fault")
    inject_fault(parse_fault(arguments[place + 1], [state.name for state in states.COMMANDS[arguments[0]]]))
    sys.exit(main(arguments[:place] + arguments[place + 2 :]))
