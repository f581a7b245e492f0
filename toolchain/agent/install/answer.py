"""The answer of still_proven.py: faster than `status`, because only what an application uses is hashed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Tuple

from ..errors import ExitCode, ToolchainError
from .proven import read_proven
from .sites import add_sites
from .slots import CURRENT, Slots
from .verdict import read_verdict


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
    with slots.hold_release(current) as held:
        proven = read_proven(slots, current, held)
    verdict, reasons = proven.verdict, list(proven.reasons)
    if verdict is not None and not os.access(verdict.python_path, os.X_OK):
        reasons.append(f"the Python that measured is gone: {verdict.python_path}")
    if reasons or verdict is None:
        return ExitCode.EXPIRED, f"expired: {'; '.join(reasons)}"
    shipped = verdict.shipped
    name = f"{verdict.model} {shipped.precision}: {shipped.path}, sha256 {shipped.sha256}"
    return ExitCode.PROVEN, f"proven: {name}, on {verdict.time}"
