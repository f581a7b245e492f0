"""Tells what a board has, and checks it again; nothing is changed, and no lock is taken."""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from .admission import authenticate_release
from .audit import read_tail
from .errors import ExitCode, ToolchainError
from .self_test import LatencyOptions, run_self_test
from .slots import CURRENT, PREVIOUS, Slots
from .trust import TrustState, read_state

_LOG_LINES = 30


def describe_state(slots: Slots, trust: TrustState) -> Dict[str, Any]:
    """Return which releases there are, which is active, and the counter below which a bundle is refused."""
    return {
        "current": slots.read_link(CURRENT),
        "previous": slots.read_link(PREVIOUS),
        "counter": trust.counter,
        "releases": slots.list_releases(),
    }


def read_status(root: Path) -> Dict[str, Any]:
    """Return the state of a board, the end of its log, and whether every byte of the active release is as verified."""
    slots = Slots(root)
    state = describe_state(slots, read_state(root))
    current = state["current"]
    verified = current is not None and slots.is_intact(current)
    return {**state, "log_tail": read_tail(root, _LOG_LINES), "verified": verified}


def check_release(
    root: Path, bundle_id: Optional[str], latency: LatencyOptions, *, limit_s: float
) -> Tuple[ExitCode, Dict[str, Any]]:
    """Return the verdict of a release (by default the active one) that is authenticated, hashed and measured again.

    Raises ToolchainError: exit 2 no such release, else as the signature, the hashes and the self-test find.
    """
    slots = Slots(root)
    chosen = bundle_id or slots.read_link(CURRENT)
    if chosen is None:
        raise ToolchainError(ExitCode.USAGE, "no release is active", str(root / CURRENT), fix="deploy a bundle first")
    slots.check_release(chosen)
    signer = authenticate_release(slots, chosen)
    release = slots.find_release(chosen)
    descriptor = os.open(str(release), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # a deploy in between does not prune it
        with tempfile.TemporaryDirectory() as folder:
            result = run_self_test(release, latency, Path(folder) / "samples.json", limit_s=limit_s)
    finally:
        os.close(descriptor)
    return result.exit_code, {
        "exit_code": int(result.exit_code),
        "bundle_id": chosen,
        "signer": signer,
        "measurements": result.measurements,
        "samples_ms": result.samples_ms,
    }
