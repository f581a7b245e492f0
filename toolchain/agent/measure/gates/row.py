"""A gate's row: what was measured, what was required, and whether that passed. Reports print rows, and judge nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ...errors import ExitCode
from ..quantities import ABSENT


@dataclass(frozen=True)
class Row:
    """One gate of one candidate; reason says why it did not pass, code is the exit code where it failed, else 0.

    status: passed, failed, invalid (the measurement is worth nothing), undecided (it proves neither, and stops nothing),
    skipped (nothing was asked, or it cannot be asked here).
    """

    name: str
    group: str
    status: str
    measured: str
    required: str
    reason: Optional[str]
    code: int


def write_row(
    name: str,
    group: str,
    *,
    measured: str,
    required: str,
    failure: Optional[str] = None,
    code: ExitCode = ExitCode.PROVEN,
) -> Row:
    """Return the row of a gate that failed with this reason and exit code, or passed where there is none."""
    if failure is None:
        return Row(name, group, "passed", measured, required, None, int(ExitCode.PROVEN))
    status = "invalid" if code is ExitCode.INVALID else "failed"
    return Row(name, group, status, measured, required, failure, int(code))


def skip_row(name: str, group: str, reason: str, *, measured: str = ABSENT, required: str = ABSENT) -> Row:
    """Return the row of a gate that was not asked, with the reason."""
    return Row(name, group, "skipped", measured, required, reason, int(ExitCode.PROVEN))
