"""The gate on size: the file of the payload, as it lies on the board."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from .case import Case
from .limit import Limit
from .row import Row, skip_row, write_row

NAME = "size"
GROUP = "artifact"
# Beyond an exabyte no file system goes.
LIMITS = (Limit(name="size_bytes_max", least=1, most=2**60, is_whole=True),)


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) a payload whose file is larger than the limit."""
    size_bytes, limit_bytes = case.candidate.payload.size_bytes, case.manifest.gates.limits.get("size_bytes_max")
    measured = f"{size_bytes:,} bytes"
    if limit_bytes is None:
        return [skip_row(NAME, GROUP, "no limit is set", measured=measured)]
    required = f"≤ {limit_bytes:,.0f} bytes"
    failure = (
        None if size_bytes <= limit_bytes else f"the artifact has {measured}, the gate is {limit_bytes:,.0f} bytes"
    )
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.LATENCY)]
