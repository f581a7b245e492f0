"""The answer of still_proven.py: faster than `status`, because only what an application uses is hashed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Tuple

from ..bundle_files import FileEntry
from ..contents import check_file
from ..errors import ExitCode, ToolchainError
from ..manifest import read_manifest
from .expiry import list_reasons
from .shipped import check_shipped_link, find_shipped_folder
from .sites import add_sites
from .slots import CURRENT, Slots
from .trust import read_state
from .verdict import check_proven, read_verdict


def find_python(root: str) -> Optional[str]:
    """Return the Python that measured the active release; None where that is not known, which the answer then says."""
    try:
        slots = Slots(Path(root))
        current = slots.read_link(CURRENT)
        verdict = None if current is None else read_verdict(slots.folder, current)
    except ToolchainError:
        return None
    return verdict.python_path or None if verdict is not None else None


def answer_application(root: str) -> Tuple[ExitCode, str]:
    """Return the exit code and the line for an application that asks about the active release."""
    try:
        add_sites()
        return _answer(Slots(Path(root).absolute()))
    except ToolchainError as error:
        return error.code, str(error).partition("\n")[0]


def _answer(slots: Slots) -> Tuple[ExitCode, str]:
    current = slots.read_link(CURRENT)
    if current is None:
        raise ToolchainError(ExitCode.USAGE, f"no release is active in {slots.root}", fix="deploy a bundle first")
    release = slots.find_release(current)
    manifest, found = read_manifest(release)
    if found != current:
        what = "the active release's manifest is not the one that it was verified with"
        raise ToolchainError(ExitCode.CONTENT, what, fix="deploy the bundle again")
    verdict = read_verdict(slots.folder, current)
    reasons = list_reasons(slots, read_state(slots.folder), current, manifest, verdict)
    if verdict is not None:
        shipped = verdict.shipped
        check_proven(slots.root, manifest, verdict)
        check_shipped_link(release, find_shipped_folder(manifest, shipped.path))
        check_file(release, FileEntry(path=shipped.path, size_bytes=shipped.size_bytes, sha256=shipped.sha256))
        if not os.access(verdict.python_path, os.X_OK):
            reasons.append(f"the Python that measured is gone: {verdict.python_path}")
    if reasons or verdict is None:
        return ExitCode.EXPIRED, f"expired: {'; '.join(reasons)}"
    name = f"{verdict.model} {shipped.precision}: {shipped.path}, sha256 {shipped.sha256}"
    return ExitCode.PROVEN, f"proven: {name}, on {verdict.time}"
