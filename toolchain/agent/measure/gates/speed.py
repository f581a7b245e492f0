"""The gate on speed: a precision must be faster than all later ones in the target's order to be worth its error."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from ..latency import FASTER, NOTICED, UNDECIDED, decide
from ..quantities import TIMES, write_speedup
from .case import Case
from .row import Row, skip_row, write_row

NAME = "speed"
GROUP = "latency"


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) a candidate that is surely not faster than the fastest one of all later precisions.

    Where the interval holds both answers the row is undecided, and the order of the target stands: what a busy minute
    decides would be another thing in the next one.
    """
    rival = case.rival
    if rival is None:
        return [skip_row(NAME, GROUP, "it is the last in the target's order")]
    following, ratio = rival
    measured = write_speedup(ratio.ratio, ratio.low, ratio.high)
    required = f"faster than {following}"
    decision = decide(ratio)
    if decision == UNDECIDED:
        reason = f"undecided whether it is faster than {following}: {measured}"
        return [Row(NAME, GROUP, "undecided", measured, required, reason, int(ExitCode.PROVEN))]
    failure = None
    if decision != FASTER:
        margin = f"{NOTICED:.2f}{TIMES}"
        failure = f"it is not faster than {following}: {measured}, where up to {margin} is the luck of a session"
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.LATENCY)]
