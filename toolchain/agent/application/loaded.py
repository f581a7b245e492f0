"""Whether the runtime that this process has loaded is the one that was proven: files may be exchanged under a process."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List

from ..install.verdict import Verdict
from ..measure.libraries import find_libraries
from ..measure.session import find_runtime

_DELETED = " (deleted)"  # proc(5), maps
_MAPS = Path("/proc/self/maps")


def list_loaded_changes(verdict: Verdict) -> List[str]:
    """Return what this process has loaded that is not what the verdict rests on, a line each; loads the runtime."""
    runtime = verdict.environment.runtime
    loaded = find_runtime(runtime).read_version()
    proven = verdict.environment.runtime_version or "none"
    changes = []
    # A package may say more than its module: 10.3.0.30 and 10.3.0.
    if not (loaded.startswith(proven) or proven.startswith(loaded)):
        changes.append(f"{runtime} {proven} was proven, and this process has loaded {loaded}: start it again")
    places = find_libraries(runtime)
    names = {path.name: path for path in places.values()}
    for mapped in sorted(set(_list_mapped())):
        path = Path(mapped.partition(_DELETED)[0])
        own = names.get(path.name)
        if own is None:
            continue
        if mapped.endswith(_DELETED):
            changes.append(f"{path} was replaced since this process loaded it: start it again")
        elif path.resolve() != own.resolve():
            changes.append(f"this process has loaded {path}, and {own} was looked at")
    return changes


def _list_mapped() -> Iterator[str]:
    try:
        text = _MAPS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not every system has it
        return
    for line in text.splitlines():
        path = line.partition("/")
        if path[1]:
            yield "/" + path[2]
