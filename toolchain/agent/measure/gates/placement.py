"""The gate on placement: how much of an int8 payload's work really ran in int8."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from ..quantities import write_percent
from .case import Case
from .row import Row, skip_row, write_row

NAME = "placement"
GROUP = "placement"


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) an int8 payload that ran too little in int8, or of which that cannot be told."""
    placement, limit = case.candidate.placement, case.manifest.gates.int8_share_min
    if case.candidate.precision != "int8":
        hint = "" if limit is None else '; precision_required = "int8" would refuse it'
        return [skip_row(NAME, GROUP, f"the artifact is {case.candidate.precision}{hint}")]
    share = placement.precision_share_macs.get("int8", 0.0)
    measured = f"int8 {write_percent(share, 1)} of the MACs"
    if limit is None:
        return [skip_row(NAME, GROUP, "no limit is set", measured=measured)]
    failure = None
    if placement.uncounted or not placement.macs:
        layers = ", ".join(f"{layer.name} ({layer.op})" for layer in placement.uncounted) or "no layer with MACs"
        failure = f"the share of int8 cannot be proven: {layers}"
    elif share < limit:
        failure = f"only {write_percent(share, 1)} of the MACs ran in int8, less than {write_percent(limit, 1)}"
    required = f"≥ {write_percent(limit, 1)}"
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.LATENCY)]
