"""How many CPUs a process may use: those that it may run on, and no more time of them than its control groups are given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, Optional, Tuple

_MOUNTED = "sys/fs/cgroup"


def count_usable_cpus(root: Path = Path("/")) -> float:
    """Return the number, a fraction where a quota ends within a CPU; `root` is where /proc and /sys are looked for."""
    read_affinity = getattr(os, "sched_getaffinity", None)  # of Linux alone
    allowed = len(read_affinity(0)) if read_affinity is not None else os.cpu_count() or 1
    return min([float(allowed), *_list_quotas(root)])


def _list_quotas(root: Path) -> Iterator[float]:
    """Yield how many CPUs' time each control group around this process is given, where it is given less than all."""
    for folder, group in _list_groups(root):
        # In a container the path may be the host's, of which only the end is mounted.
        for place in (group, *group.parents):
            quota = _read_quota(root / _MOUNTED / folder / place)
            if quota is not None:
                yield quota


def _list_groups(root: Path) -> Iterator[Tuple[str, Path]]:
    # A line is ID:CONTROLLERS:PATH; of version 2 there is one, 0::PATH (cgroups(7)).
    for line in _read_text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "" or "cpu" in controllers.split(","):
            yield controllers, Path(group.lstrip("/"))


def _read_quota(folder: Path) -> Optional[float]:
    texts = _read_text(folder / "cpu.max").split()
    if not texts:
        texts = [_read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota_us, period_us = (int(text) for text in texts)
    except ValueError:  # "max", or there is no such file
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
