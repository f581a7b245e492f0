"""Threads that each keep to one CPU: which CPUs there are for them, and whether the kernel has them there."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import FrozenSet, List, Sequence

from ..clock import read_monotonic_ns
from ..errors import ExitCode, ToolchainError

_TASKS = Path("/proc/self/task")
# A thread sets its own affinity when it begins, which a busy board may put off; nothing waits for longer.
_APPEAR_NS = 10 * 1_000_000_000
_PAUSE_S = 0.001


def choose_cpus(threads: int, where: str) -> Sequence[int]:
    """Return a CPU for each thread but the caller's own, which runs too: the last of those that this process may use.

    Raises ToolchainError (exit 12) where there are fewer CPUs than threads: by the board, a cpuset, or taskset(1).
    """
    read_affinity = getattr(os, "sched_getaffinity", None)  # of Linux alone
    allowed: List[int] = [] if read_affinity is None else sorted(read_affinity(0))
    if len(allowed) < threads:
        found = f"{len(allowed)}: {', '.join(map(str, allowed))}"
        raise refuse_pinning(where, f"{threads} CPUs that this process may use", found)
    return allowed[len(allowed) - threads + 1 :]


def list_threads() -> FrozenSet[str]:
    """Return the threads of this process."""
    return frozenset(path.name for path in _TASKS.iterdir())


def check_pinned(cpus: Sequence[int], before: FrozenSet[str], where: str) -> None:
    """Refuse (exit 12) threads that are not there where each should be: what a runtime was asked for it may not have done.

    Asked for a CPU that there is not, ONNX Runtime 1.32 writes a line to stderr, runs on all, and says nothing else.

    Args:
        cpus: one for each thread that the runtime has started.
        before: the threads that there were before.
        where: what is opened.
    """
    limit_ns, pause = read_monotonic_ns() + _APPEAR_NS, threading.Event()
    while True:
        found = [_read_cpus(name) for name in sorted(list_threads() - before)]
        if all(str(cpu) in found for cpu in cpus):
            return
        if read_monotonic_ns() > limit_ns:
            told = "; ".join(filter(None, found)) or "no thread of its own"
            raise refuse_pinning(where, f"a thread on each of the CPUs {', '.join(map(str, cpus))} alone", told)
        pause.wait(_PAUSE_S)


def refuse_pinning(where: str, expected: str, found: str) -> ToolchainError:
    """Return the error for threads that cannot be pinned here, or were not."""
    return ToolchainError(
        ExitCode.INCOMPATIBLE,
        "the threads of a payload cannot be pinned here",
        where=where,
        expected=expected,
        found=found,
        fix="give the process as many CPUs (cpuset, taskset, CPUAffinity), or take pinning out of the target and deploy again",
    )


def _read_cpus(thread: str) -> str:
    """Return the CPUs that a thread may run on, such as "0-3" (proc_pid_status(5)); nothing for one that has ended."""
    try:
        status = (_TASKS / thread / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    rows = [line.partition(":")[2].strip() for line in status.splitlines() if line.startswith("Cpus_allowed_list:")]
    return rows[0] if rows else ""
