"""What a board has beside its CPU and runtime: OpenSSH, free disk, memory, a clock that can be right."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..clock import format_utc, is_plausible, read_time_s
from ..errors import ToolchainError
from .folder import Folder
from .trust import EMPTY, read_state


@dataclass(frozen=True)
class BoardFacts:
    """`ssh_keygen` is its path, `openssh` the version; None where it is not installed, or its file system not there."""

    ssh_keygen: Optional[str]
    openssh: Optional[str]
    disk_free_bytes: Optional[int]
    inodes_free: Optional[int]
    memory_bytes: Optional[int]
    memory_available_bytes: Optional[int]
    time: str
    is_clock_plausible: bool


def _read_openssh() -> Optional[str]:
    try:
        done = subprocess.run(["ssh", "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except OSError:  # not installed; a board may have ssh-keygen alone, which does not tell its version
        return None
    return done.stdout.decode("utf-8", errors="replace").strip() or None


def _read_memory_bytes(key: str) -> Optional[int]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not every system has /proc
        return None
    values = [int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")]
    return values[0] if values else None


def _find_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def read_board_facts(root: Optional[Path]) -> BoardFacts:
    """Return the facts of this board; of the disk those of ROOT, which need not exist yet."""
    disk = None if root is None else os.statvfs(str(_find_existing(root.absolute())))
    now_s = read_time_s()
    try:
        trust = EMPTY if root is None else read_state(Folder(root.absolute()))
    except ToolchainError:  # a broken state is told by `status`
        trust = EMPTY
    return BoardFacts(
        ssh_keygen=shutil.which("ssh-keygen"),
        openssh=_read_openssh(),
        disk_free_bytes=None if disk is None else disk.f_bavail * disk.f_frsize,
        inodes_free=None if disk is None or not disk.f_files else disk.f_favail,
        memory_bytes=_read_memory_bytes("MemTotal"),
        memory_available_bytes=_read_memory_bytes("MemAvailable"),
        time=format_utc(now_s),
        is_clock_plausible=is_plausible(now_s, not_before_s=trust.counter),
    )
