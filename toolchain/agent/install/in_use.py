"""Whether a process uses a release, so that pruning leaves it alone.

Two ways to be seen: any process of ours (or, for root, of anyone) that has a file of the release open, mapped, or works
in its folder; and any process at all that holds a shared flock(2) on the release's folder.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Iterator


def _list_paths(process: Path) -> Iterator[str]:
    # What the process works in, has open, and has mapped; of another user's process nothing can be read.
    try:
        yield os.readlink(str(process / "cwd"))
        for descriptor in (process / "fd").iterdir():
            yield os.readlink(str(descriptor))
        for line in (process / "maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            yield line.partition("/")[1] + line.partition("/")[2]
    except OSError:  # not ours, or gone meanwhile
        return


def _is_flocked(folder: Path) -> bool:
    descriptor = os.open(str(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def is_in_use(folder: Path) -> bool:
    """Return whether a process uses this folder or a file in it."""
    if _is_flocked(folder):
        return True
    resolved = str(folder.resolve())
    processes = (item for item in Path("/proc").glob("[0-9]*") if item.name != str(os.getpid()))
    return any(
        path == resolved or path.startswith(resolved + "/") for process in processes for path in _list_paths(process)
    )
