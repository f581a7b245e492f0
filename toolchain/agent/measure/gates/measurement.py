"""The gate on the measurement itself: what makes latencies worthless makes no verdict."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from .case import Case
from .row import Row, write_row

NAME = "measurement"
GROUP = "measurement"

# The fewest samples that bound a p90 with 99 % confidence (quantiles.py).
_P90_SAMPLES = 64


def judge(case: Case) -> Sequence[Row]:
    """Find invalid (exit 20) a measurement that was disturbed, or has too few samples for a gate or for an interval."""
    latency, ratio = case.candidate.latency, case.candidate.over_reference
    problems = list(case.record.validity.problems)
    if case.manifest.gates.latency_p90_ms_max is not None and latency.p90_upper_ms is None:
        problems.append(
            f"{latency.samples} samples are too few for the gate on p90, which needs {_P90_SAMPLES}; raise the time limit"
        )
    if ratio.low is None:
        problems.append(f"{latency.samples} samples are too few for the interval of a speedup; raise the time limit")
    unknown = ", ".join(case.record.validity.unknown)
    measured = "undisturbed" if not unknown else f"undisturbed; unknown: {unknown}"
    return [
        write_row(
            NAME,
            GROUP,
            measured="; ".join(problems) or measured,
            required="undisturbed",
            failure="; ".join(problems) or None,
            code=ExitCode.INVALID,
        )
    ]
