"""Reads how much memory this process has taken at the most, and how long it waited for a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Tuple

STATUS, SCHEDSTAT = Path("/proc/self/status"), Path("/proc/self/schedstat")


def read_peak_bytes(status: Path = STATUS) -> Tuple[Optional[int], Optional[str]]:
    """Return the peak of this process's resident memory, or None and why it cannot be read.

    It is VmHWM (proc_pid_status(5)), which begins anew with each program; ru_maxrss is that of the process which started this
    one, where that was larger (getrusage(2)). What was swapped out is not resident: the peak is then not what was taken.
    """
    try:
        text = status.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return None, f"{status}: {error.strerror}"
    fields = _read_kilobytes(text)
    peak_bytes, swapped_bytes = fields.get("VmHWM"), fields.get("VmSwap")
    if not peak_bytes:
        return None, f"{status} has no VmHWM"
    if swapped_bytes is None:
        return None, f"{status} has no VmSwap: what was swapped out is not counted"
    if swapped_bytes:
        return None, f"{swapped_bytes >> 10} kB of it were swapped out, which are not counted"
    return peak_bytes, None


def read_waited_ns(schedstat: Path = SCHEDSTAT) -> Optional[int]:
    """Return how long the first thread of this process could run and got no CPU; None where the system does not tell."""
    try:
        fields = schedstat.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return None
    # The time it ran, the time it waited to run, both in ns (Documentation/scheduler/sched-stats.rst).
    return int(fields[1]) if len(fields) == 3 and fields[1].isdigit() else None


def _read_kilobytes(text: str) -> Dict[str, int]:
    # A line has a name, a number and kB.
    fields = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            fields[name] = int(words[0]) << 10
    return fields
