"""Temporary folders that outlive no command for long: the next one removes what a killed one left, its processes too.

A folder is held by a flock(2) on a file in it, which goes with its process however that ends. Only a folder of this name,
with this file in it, both of this user and with nobody holding the lock, is taken for left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Iterator, Optional, Tuple, Type

_PREFIX = "et-"
_HOLD = ".edge-toolchain"
# Where folders are made whose path must be short, whatever TMPDIR says.
SHORT_PARENT = "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it
# Of the list of processes: some 20 bytes each.
_LIST_BYTES_MAX = 64 * 1024


class TemporaryFolder:
    """A folder of this process, removed when it is closed, or else by remove_orphans of a later process."""

    def __init__(self, parent: Optional[str] = None) -> None:
        """Make it in a parent, else where TMPDIR says; raises OSError where that is not possible."""
        self.path, self._descriptor = _make_folder(parent)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def note_process(self, pid: int) -> None:
        """Remember a process that must not outlive this one; one that leads a group is ended with all of it."""
        start = _read_start(pid)
        if start is not None:
            with contextlib.suppress(OSError):  # a full disk: it ends as its pipes do, or not before it is done
                os.write(self._descriptor, f"{pid} {start}\n".encode("ascii"))

    def close(self) -> None:
        """Remove the folder; more than once does nothing."""
        if self._descriptor >= 0:
            shutil.rmtree(str(self.path), ignore_errors=True)
            os.close(self._descriptor)
            self._descriptor = -1


def remove_orphans() -> None:
    """Remove the temporary folders of processes that were killed, and end the processes that these had started."""
    for parent in {tempfile.gettempdir(), SHORT_PARENT}:
        with contextlib.suppress(OSError), os.scandir(parent) as entries:
            for path in [entry.path for entry in entries if entry.name.startswith(_PREFIX)]:
                with contextlib.suppress(OSError):  # it is held, not ours, or gone by now
                    _remove_orphan(path)


def _make_folder(parent: Optional[str]) -> Tuple[Path, int]:
    while True:
        path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        try:
            hold = Path(path) / _HOLD
            descriptor = os.open(str(hold), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        # Between the open and the lock somebody may have taken it for left behind.
        with contextlib.suppress(OSError):
            if os.path.samestat(hold.lstat(), os.fstat(descriptor)):
                return Path(path), descriptor
        os.close(descriptor)


def _remove_orphan(path: str) -> None:
    """Remove a folder that nobody holds; raises OSError where one does, or where it is none of ours."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(folder).st_uid != os.geteuid():
            return
        descriptor = os.open(_HOLD, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                return
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for pid, start in _list_processes(descriptor):
                if _read_start(pid) == start:
                    _end_process(pid)
            shutil.rmtree(path, ignore_errors=True)  # it follows no link
        finally:
            os.close(descriptor)
    finally:
        os.close(folder)


def _list_processes(descriptor: int) -> Iterator[Tuple[int, str]]:
    for line in os.pread(descriptor, _LIST_BYTES_MAX, 0).decode("ascii", "replace").splitlines():
        pid, _, start = line.partition(" ")
        if pid.isdigit() and int(pid) > 1:
            yield int(pid), start


def _read_start(pid: int) -> Optional[str]:
    """Return when a process began, in ticks since the boot (proc(5), field 22): a number alone is given out again."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError):
        return None


def _end_process(pid: int) -> None:
    with contextlib.suppress(OSError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
