"""The link `shipped` of a release: the one path by which applications reach the payload that was proven, and no other.

It leads to the payload's folder, not to the file: ONNX Runtime 1.24 and newer refuse links to the files of a model. The
verdict says where it has to lead; every release has its own, so that it changes with `current`, in the same rename.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath
from typing import Optional

from ..bundle_files import SHIPPED_LINK
from ..contents import find_payload_folder
from ..durable import move, remove_tree
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest


def find_shipped_folder(manifest: Manifest, payload: str) -> Optional[str]:
    """Return the folder that has this payload and no other file; None where a link to it would lead to more."""
    folder = find_payload_folder(payload)
    if folder is None:
        return None
    inside = [entry.path for entry in manifest.files if PurePosixPath(folder) in PurePosixPath(entry.path).parents]
    return folder if inside == [payload] else None


def read_shipped_link(release: Path) -> Optional[str]:
    """Return where the link of a release leads, as it is written there; None where there is nothing of that name."""
    path = release / SHIPPED_LINK
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return os.readlink(str(path)) if stat.S_ISLNK(mode) else "no link"


def check_shipped_link(release: Path, folder: Optional[str]) -> None:
    """Refuse (exit 11) a link that is not the one of the verdict; None says that there must be none."""
    found = read_shipped_link(release)
    if found != folder:
        what = "the path of applications does not lead to the payload that was proven"
        fix = "find out who changed it; the next deploy puts it right"
        expected = "no such link" if folder is None else f"a link to {folder}"
        where = str(release / SHIPPED_LINK)
        raise ToolchainError(ExitCode.CONTENT, what, where=where, expected=expected, found=found or "none", fix=fix)


def set_shipped_link(release: Path, staging: Path, folder: Optional[str]) -> None:
    """Point the link of a release to a folder in it, in one step; None removes what is there."""
    if read_shipped_link(release) == folder:
        return
    if folder is None or not (release / SHIPPED_LINK).is_symlink():
        remove_tree(release / SHIPPED_LINK)
    if folder is not None:
        # Made elsewhere: a release must not hold another name than its own for a moment.
        temporary = staging / f"{release.name}.{SHIPPED_LINK}"
        remove_tree(temporary)
        temporary.symlink_to(folder)
        move(temporary, release / SHIPPED_LINK)
