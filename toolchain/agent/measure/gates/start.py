"""The gate on the start: the time from the start of a process to the first answer of the payload."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from ..footprint.figures import START, START_RUNS_MIN, summarize_start
from ..quantities import ABSENT, write_ms
from .case import Case
from .limit import Limit
from .row import Row, skip_row, write_row

NAME = "start"
GROUP = "footprint"
# An hour is more than any application waits.
LIMITS = (Limit(name=START, least=1, most=3_600_000, is_whole=False),)


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) a start that is or may be too long, by the longest of the processes: it bounds their median.

    Where the time cannot be told the gate fails. It is invalid (exit 20) where there are too few of them to bound it, and where they
    were too long while others used the board.
    """
    limit_ms, footprint = case.manifest.gates.limits.get(LIMITS[0].name), case.candidate.footprint
    start = None if footprint is None or footprint.failure is not None else summarize_start(footprint)
    measured = ABSENT
    if start is not None:
        spread = f"at most {write_ms(start.most_ms)} in {start.count}" if start.count > 1 else "one start"
        measured = f"{write_ms(start.median_ms)}, {spread}"
    if limit_ms is None:
        return [skip_row(NAME, GROUP, "no limit is set", measured=measured)]
    required, failure, code = f"≤ {limit_ms:g} ms", None, ExitCode.LATENCY
    if start is None:
        why = "it was not measured" if footprint is None else footprint.failure or "no process was started"
        failure = f"the time to the first answer cannot be read: {why}"
    elif start.count < START_RUNS_MIN:
        failure = f"{start.count} starts are too few, {START_RUNS_MIN} bound their median; raise --start-processes"
        code = ExitCode.INVALID
    elif not start.most_ms <= limit_ms:
        failure = (
            f"the first answer comes after {write_ms(start.median_ms)}, with 99 % confidence after "
            f"{write_ms(start.most_ms)} at most; the gate is {limit_ms:g} ms"
        )
        if start.is_disturbed:
            failure, code = f"{failure}; others used the board meanwhile: free it, and measure again", ExitCode.INVALID
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=code)]
