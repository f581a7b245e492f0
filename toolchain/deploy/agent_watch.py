"""Looks at the agent while it measures, and ends it with all that it started where it takes too much."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, Self

from toolchain.deploy.agent_limits import AgentLimits
from toolchain.deploy.transport import OnProgress

# Memory is taken at some GB/s at most, and a limit overshot by that much; to look costs a thousandth of a core.
_LOOK_S = 0.05
# What the agent said while this process was busy or stopped is read in this time.
_LATE_LOOKS_MAX = 10
# The record of a model with 10,000 layers has 3 MB.
_STDOUT_BYTES_MAX = 64 * 2**20
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class AgentWatch:
    """Ends the agent and all that it started where it takes too much, and at the end of the block in any case."""

    def __init__(self, process: subprocess.Popen[str], stdout: IO[str], limits: AgentLimits) -> None:
        self._process = process
        self._stdout = stdout
        self._limits = limits
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._mark_cpu_s = 0.0
        self._steps = self._marked = self._looks = self._late_looks = 0
        self.exceeded: tuple[str, str] | None = None
        """What was allowed and what was found, where a limit was exceeded."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._kill()  # an agent does not outlive the command that started it

    def wait(self) -> int:
        """Return the code that the agent ends with, once it has ended; what it started ends too."""
        # Its number stays taken until that is done.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self._kill()
        return self._process.wait()

    def note_progress(self, on_progress: OnProgress) -> OnProgress:
        """Return what takes a sign of progress, and passes it on."""

        def note(step: str, done: int, total: int) -> None:
            self._steps += 1
            on_progress(step, done, total)

        return note

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.exceeded = self._find_excess()
            if self.exceeded is not None:
                self._kill()
                return

    def _find_excess(self) -> tuple[str, str] | None:
        limits = self._limits
        try:
            memory_bytes = sum(map(_read_memory_bytes, _list_family(self._process.pid)))
            cpu_s = _read_cpu_s(self._process.pid)
        except (OSError, ValueError):  # it has just ended, or this system has no /proc
            return None
        if memory_bytes > limits.memory_bytes:
            return f"at most {limits.memory_bytes >> 20} MB of memory", f"{memory_bytes >> 20} MB"
        size_bytes = os.fstat(self._stdout.fileno()).st_size
        if size_bytes > _STDOUT_BYTES_MAX:
            return f"at most {_STDOUT_BYTES_MAX >> 20} MB of words", f"{size_bytes >> 20} MB"
        return self._find_stall(cpu_s)

    def _find_stall(self, cpu_s: float) -> tuple[str, str] | None:
        if self._steps != self._marked:
            self._marked, self._mark_cpu_s, self._looks, self._late_looks = self._steps, cpu_s, 0, 0
        # Time in which this process is stopped itself is none that the agent took.
        self._looks += 1
        taken_s, taken_cpu_s = self._looks * _LOOK_S, cpu_s - self._mark_cpu_s
        if taken_cpu_s > self._limits.step_cpu_s or taken_s > self._limits.step_wall_s:
            self._late_looks += 1
        if self._late_looks <= _LATE_LOOKS_MAX:
            return None
        expected = f"a payload opened, or a batch run, in {self._limits.step_cpu_s:.0f} s of CPU time"
        return expected, f"{taken_cpu_s:.0f} s of CPU time, {taken_s:.0f} s in all, and no end"

    def _kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _list_family(pid: int) -> list[int]:
    """Return the process and those that it started itself: they take memory in its place."""
    children: list[int] = []
    with contextlib.suppress(OSError, ValueError):  # a kernel without CONFIG_PROC_CHILDREN
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return [pid, *children]


def _read_memory_bytes(pid: int) -> int:
    # Pages of files, such as mapped golden arrays, can be taken back at any time (proc(5), statm).
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    return (int(resident) - int(shared)) * _PAGE_BYTES


def _read_cpu_s(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S
