"""The gate on throttling: a board that slowed itself down was not measured."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from .case import Case
from .row import Row, skip_row, write_row

NAME = "throttling"
GROUP = "measurement"


def judge(case: Case) -> Sequence[Row]:
    """Find invalid (exit 20) a measurement during which the board throttled itself; unknown is not fine, and said."""
    throttled = case.record.throttled
    if throttled is None:
        return [skip_row(NAME, GROUP, "the board does not tell", measured="unknown")]
    failure = None
    if throttled:
        failure = (
            "the board throttled itself during the measurement (over-current or over-temperature); "
            "cool it, give it a stronger supply, or choose a lower power mode"
        )
    measured = "throttled" if throttled else "no events"
    return [write_row(NAME, GROUP, measured=measured, required="no events", failure=failure, code=ExitCode.INVALID)]
