"""Removes the versions of the agent's code that nobody uses any more: hosts bring one whenever the toolchain changes."""

from __future__ import annotations

import os
from pathlib import Path

from ..durable import remove_tree
from .folder import Folder
from .in_use import is_in_use

AGENTS = "agent"
# Beside the one that runs, the one that applications ask, and those that others run: some 300 kB each.
KEPT_AGENTS = 3
# What applications run, under ROOT: a link into the agent that last changed the board (deploy/loader.py).
_ANSWER = "still_proven.py"
# Of the loader, while the code comes (it then holds a flock(2) on the folder), and of ours.
_PARTIAL = ".partial-"
_REMOVED = ".removed-"


def prune_agents(root: Path) -> None:
    """Remove all but the newest versions, of those that no process works in and no application asks; never this one.

    The loader works in the version that it looks at before it runs it, and looks once more whether it still is the one at
    its place. Needs no lock: what is used is put back.
    """
    folder = Folder(root / AGENTS, within=Folder(root))
    own = Path(__file__).resolve().parents[2].name
    names = [name for name in folder.list_names() if folder.is_folder(name)]
    left = [name for name in names if name.startswith((_PARTIAL, _REMOVED))]
    versions = sorted(
        (name for name in names if not name.startswith(".") and name not in (own, _find_asked(root))),
        key=lambda name: (root / AGENTS / name).stat().st_mtime_ns,
    )
    for name in left + versions[:-KEPT_AGENTS]:
        _remove(root / AGENTS / name)


def _find_asked(root: Path) -> str:
    # The link is relative: agent/VERSION/agent/install/still_proven.py.
    try:
        parts = Path(os.readlink(str(root / _ANSWER))).parts
    except OSError:
        return ""
    return parts[1] if len(parts) > 1 else ""


def _remove(path: Path) -> None:
    if is_in_use(path):
        return
    removed = path if path.name.startswith(_REMOVED) else path.with_name(_REMOVED + path.name)
    if removed != path:
        remove_tree(removed)
        path.rename(removed)
        if is_in_use(removed):  # since it was looked at
            removed.rename(path)
            return
    remove_tree(removed)
