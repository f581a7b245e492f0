"""The parent's side of a confined process: starting it, looking at it, ending it with all that it started."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Self

from toolchain.run.confine.child import INTERRUPTS, Ends, Work, run_confined
from toolchain.run.confine.inside import StepBoard
from toolchain.run.confine.limits import Limits


class ConfinedProcess:
    """The forked process and the pipes from it; leaving the block ends all that it started."""

    def __init__(self, work: Work, limits: Limits, folder: str) -> None:
        self.board = StepBoard()
        self.board.set_limits(limits)
        self.events, events = os.pipe()
        self.output, output = os.pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else both write what is buffered
        parent = os.getpid()
        # Python drops an interrupt that arrives while it forks, and one before the block is entered would leave a child.
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        with warnings.catch_warnings():
            # The threads of libraries are no more in the child, which uses none of their work (Python 3.12 warns).
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                self.pid = os.fork()
            except OSError:
                self.listen()
                raise
        if self.pid == 0:
            ends = Ends(events=events, output=output, folder=folder, parent=parent)
            run_confined(work, limits=limits, board=self.board, ends=ends)
        self.status: int | None = None
        os.close(events)
        os.close(output)
        for descriptor in (self.events, self.output):
            os.set_blocking(descriptor, False)

    def __enter__(self) -> Self:
        """Begin the block; interrupts wait until listen is called in it."""
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]
        for descriptor in (self.events, self.output):
            os.close(descriptor)
        self.board.close()

    def listen(self) -> None:
        """Take interrupts again."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)

    def has_ended(self) -> bool:
        """Return whether it has; its number stays taken, so that its group can still be ended."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def read_signal(self) -> int | None:
        """Return the signal that ended it, which it has; None where it ended by itself."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return None if ended is None or ended.si_code == os.CLD_EXITED else ended.si_status

    def kill(self) -> None:
        """End it and its group."""
        if self.status is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):  # it may not lead a group yet
            os.kill(self.pid, signal.SIGKILL)

    def read_cpu_s(self) -> float:
        """Return its CPU time, of all threads; its number is taken as long as we have not waited for it."""
        text = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
