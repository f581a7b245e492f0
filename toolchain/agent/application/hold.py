"""Holds the active release in use: while that lasts, no deploy removes it (install/in_use.py)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from typing import Iterator, Tuple

from ..errors import ExitCode, ToolchainError
from ..install.slots import CURRENT, Slots

# A deploy that is at it is waited for: its renames take milliseconds, and so does its look at who uses a release.
_ATTEMPTS = 100
_PAUSE_S = 0.02


class Hold:
    """A release's folder, open and under a shared flock(2), which goes with the process however that ends."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def close(self) -> None:
        """Let go of it; more than once does nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            self.close()


def hold_active(slots: Slots) -> Tuple[str, Hold]:
    """Return the id of the active release, and the hold on it.

    Raises ToolchainError: exit 2 no release is active, exit 11 the active one is gone, exit 17 somebody holds the folder
    for himself, exit 14 and 23 as the board's folders and links are read.
    """
    is_held = False
    for _ in _try_again():
        bundle_id = slots.read_link(CURRENT)
        if bundle_id is None:
            _check_any_active(slots)
            continue
        try:
            with slots.hold_release(bundle_id) as descriptor:
                hold = Hold(os.dup(descriptor))
        except (FileNotFoundError, ToolchainError):  # gone since: a newer one is active
            continue
        try:
            fcntl.flock(hold.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            is_held = True
            hold.close()
            continue
        # What was removed before it was held is not active any more: the next look finds what is.
        if _is_active(slots, bundle_id, hold):
            return bundle_id, hold
        hold.close()
    raise _give_up(slots, is_held=is_held)


def _try_again() -> Iterator[int]:
    pause = threading.Event()
    for attempt in range(_ATTEMPTS):
        yield attempt
        pause.wait(_PAUSE_S)


def _is_active(slots: Slots, bundle_id: str, hold: Hold) -> bool:
    try:
        slots.check_held(bundle_id, hold.descriptor)
    except ToolchainError:
        return False
    return slots.read_link(CURRENT) == bundle_id


def _check_any_active(slots: Slots) -> None:
    path = slots.root / CURRENT
    if os.path.lexists(str(path)):
        return
    what, fix = "no release is active", "deploy a bundle to this ROOT first, or correct the path"
    found = "no such folder" if not slots.root.is_dir() else "none"
    raise ToolchainError(
        ExitCode.USAGE, what, where=str(path), expected="a link that a deploy made", found=found, fix=fix
    )


def _give_up(slots: Slots, *, is_held: bool) -> ToolchainError:
    path = str(slots.root / CURRENT)
    if is_held:
        what, fix = "another process keeps the active release for itself", "find it with `fuser`, and end it"
        expected, found = "shared locks on its folder", "an exclusive one"
        return ToolchainError(ExitCode.BUSY, what, where=path, expected=expected, found=found, fix=fix)
    what, fix = "the release that was active is gone", "deploy again; find out who removed it"
    return ToolchainError(ExitCode.CONTENT, what, where=path, expected="a release", found="a link to nothing", fix=fix)
