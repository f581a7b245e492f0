"""The gate on latency: p90, by its upper bound."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from ..quantities import ABSENT, write_ms
from .case import Case
from .row import Row, skip_row, write_row

NAME = "latency"
GROUP = "latency"


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) a p90 that is or may be too high: a latency that may be too high is not proven."""
    limit_ms, latency = case.manifest.gates.latency_p90_ms_max, case.candidate.latency
    upper_ms = latency.p90_upper_ms
    measured = ABSENT if upper_ms is None else f"p90 at most {write_ms(upper_ms)}"
    if limit_ms is None:
        return [skip_row(NAME, GROUP, "no limit is set", measured=measured)]
    required = f"≤ {limit_ms:g} ms"
    if upper_ms is None:
        too_few, code = f"{latency.samples} samples are too few for a p90", ExitCode.INVALID
        return [write_row(NAME, GROUP, measured=measured, required=required, failure=too_few, code=code)]
    failure = None
    if not upper_ms <= limit_ms:
        failure = (
            f"p90 is {write_ms(latency.p90_ms)}, with 99 % confidence at most {write_ms(upper_ms)}; "
            f"the gate is {limit_ms:g} ms"
        )
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.LATENCY)]
