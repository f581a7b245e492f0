"""Tells what a board has and whether its verdict still holds: nothing is measured, nothing changed, no lock taken."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ..errors import ExitCode, ToolchainError
from .expiry import list_reasons
from .settle import describe_active
from .slots import CURRENT, PREVIOUS, Slots
from .trail import read_trail
from .trust import TrustState, read_state
from .verdict import Verdict, describe_verdict, read_verdict

_LOG_LINES = 30


def describe_state(slots: Slots, trust: TrustState) -> Dict[str, Any]:
    """Return which releases there are, which is active and what of it was proven, and the counter that may not fall."""
    current = slots.read_link(CURRENT)
    # By the verdict, and not by the state, which a run that was killed right after the rename left behind.
    active = None if current is None else describe_active(slots.folder, current)
    return {
        "current": current,
        "previous": slots.read_link(PREVIOUS),
        "counter": trust.counter,
        "active": None if active is None else asdict(active),
        "releases": slots.list_releases(),
    }


def read_status(root: Path) -> Tuple[ExitCode, Dict[str, Any]]:
    """Return the state of a board, the end of its log, and whether the verdict of the active release holds.

    What is damaged in the log is told, and changes nothing else.

    The exit code is 0 where it holds, or no release is active; 11 or 23 where the release is not what was proven, and
    25 where the verdict expired.
    """
    slots = Slots(root)
    trust = read_state(slots.folder)
    state = describe_state(slots, trust)
    current = state["current"]
    verdict: Optional[Verdict] = None
    damage: Optional[ToolchainError] = None
    reasons: List[str] = []
    if current is None and (trust.current is not None or os.path.lexists(str(root / CURRENT))):
        what, fix = "the release that was active is gone", "deploy again; find out who removed it"
        found = trust.current or "a link to nothing"
        damage = ToolchainError(
            ExitCode.CONTENT, what, where=str(root / CURRENT), expected="a release", found=found, fix=fix
        )
    if current is not None:
        try:
            verdict = read_verdict(slots.folder, current)
            reasons = list_reasons(slots, trust, current, slots.check_proven(current), verdict)
        except ToolchainError as error:
            damage = error
    trail = read_trail(slots.folder, _LOG_LINES)
    code = ExitCode.EXPIRED if reasons else ExitCode.PROVEN
    code = code if damage is None else damage.code
    return code, {
        "exit_code": int(code),
        **state,
        "verified": current is not None and damage is None,
        "damage": None if damage is None else damage.to_dict(),
        "verdict": None if verdict is None else describe_verdict(verdict),
        "expired": bool(reasons),
        "reasons": reasons,
        "log_tail": trail.lines,
        "log_damage": trail.damage,
    }
