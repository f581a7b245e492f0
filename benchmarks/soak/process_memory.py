"""A command run to its end, and the most memory that it and everything which it started held at the same time."""

from __future__ import annotations

import mmap
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Of what is held for less, some is not seen; what a stage of seconds holds, is.
_LOOK_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended, and what it took."""

    exit_code: int
    stdout: str
    stderr: str
    wall_s: float
    peak_bytes: int
    """The sum over all of its processes at the worst moment; pages that two of them share count twice."""
    peak_at_s: float


def run_watched(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_s: float | None = None
) -> Ended:
    """Run a command in a folder and watch the memory of its processes; one that takes too long is an error."""
    started_s = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watch = _Watch(process.pid, started_s)
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
        finally:
            watch.stop()
    return Ended(
        exit_code=process.returncode,
        stdout=stdout,
        stderr=stderr,
        wall_s=time.monotonic() - started_s,
        peak_bytes=watch.peak_bytes,
        peak_at_s=watch.peak_at_s,
    )


class _Watch:
    """Looks at a process and its descendants until it is stopped."""

    def __init__(self, process_id: int, started_s: float) -> None:
        self.peak_bytes, self.peak_at_s = 0, 0.0
        self._process_id, self._started_s = process_id, started_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            total_bytes = sum(map(read_resident_bytes, list_tree(self._process_id)))
            if total_bytes > self.peak_bytes:
                self.peak_bytes, self.peak_at_s = total_bytes, time.monotonic() - self._started_s


def list_tree(process_id: int) -> list[int]:
    """Return a process and its descendants, whatever session or group they are in."""
    children: dict[int, list[int]] = defaultdict(list)
    for child, parent in _iter_parents():
        children[parent].append(child)
    found, waiting = [], [process_id]
    while waiting:
        found.append(waiting.pop())
        waiting += children[found[-1]]
    return found


def read_resident_bytes(process_id: int) -> int:
    """Return the memory that a process holds; 0 for one that is gone."""
    with suppress(OSError):
        pages = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * mmap.PAGESIZE
    return 0


def _iter_parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state parent: a name may hold spaces and brackets (proc(5)).
            yield (
                int(path.parent.name),
                int(path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]),
            )
