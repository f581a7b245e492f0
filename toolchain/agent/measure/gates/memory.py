"""The gate on memory: the most that a process takes which loads the payload and runs it, and an accelerator's beside it."""

from __future__ import annotations

from typing import Optional, Sequence

from ...errors import ExitCode
from ..footprint.figures import MEMORY_BATCH, MEMORY_PEAK, Footprint, Peak, find_largest_batch, find_peaks
from ..quantities import ABSENT, write_megabytes
from ..shapes import EVALUATION_BATCH, has_open_batch
from .case import Case
from .limit import Limit
from .row import Row, skip_row, write_row

NAME = "memory"
GROUP = "footprint"
# A terabyte is more than any board has. No larger batch is proven than the evaluation runs.
_LIMIT = Limit(name=MEMORY_PEAK, least=1, most=2**20, is_whole=False)
_BATCH = Limit(name=MEMORY_BATCH, least=1, most=EVALUATION_BATCH, is_whole=True)
LIMITS = (_LIMIT, _BATCH)
_BYTES_PER_MB = 1_000_000


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) a payload that takes more than the limit at the largest batch, and one of which that cannot be told."""
    limit_mb = case.manifest.gates.limits.get(_LIMIT.name)
    footprint, accelerator = case.candidate.footprint, case.record.devices[case.candidate.runtime].accelerator
    usual, largest = None, None
    if footprint is not None:
        usual, largest = find_peaks(footprint, has_device=accelerator is not None)
    measured = _describe(usual, largest)
    if limit_mb is None:
        return [skip_row(NAME, GROUP, "no limit is set", measured=measured)]
    required, failure = f"≤ {limit_mb:g} MB", None
    asked = find_largest_batch(case.manifest.gates.limits, case.manifest.golden.samples)
    if largest is None or usual is None:
        failure = f"the peak of memory cannot be read: {_explain(footprint, accelerator)}"
    elif has_open_batch(case.manifest) and largest.batch != max(asked, usual.batch):
        failure = f"the peak of memory cannot be read: it is of {largest.batch} samples at once, not of {asked}"
    elif not largest.total_bytes <= limit_mb * _BYTES_PER_MB:
        failure = f"it takes {measured}, the gate is {limit_mb:g} MB"
        if usual.total_bytes <= limit_mb * _BYTES_PER_MB and _BATCH.name not in case.manifest.gates.limits:
            failure += f"; gates.{_BATCH.name} says how many samples your application gives at once"
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.LATENCY)]


def _describe(usual: Optional[Peak], largest: Optional[Peak]) -> str:
    if usual is None or largest is None:
        return ABSENT
    text = f"{_write_peak(usual)} at batch {usual.batch}"
    return text if largest.batch == usual.batch else f"{text}, {_write_peak(largest)} at {largest.batch}"


def _write_peak(peak: Peak) -> str:
    of_device = "" if peak.device_bytes is None else f", {write_megabytes(peak.device_bytes)} of it the accelerator's"
    return f"{write_megabytes(peak.total_bytes)}{of_device}"


def _explain(footprint: Optional[Footprint], accelerator: Optional[str]) -> str:
    if footprint is None or not (footprint.runs or footprint.failure):
        return "it was not measured"
    if footprint.failure is not None:
        return footprint.failure
    unknown = sorted({reason for run in footprint.runs for reason in run.unknown})
    if unknown:
        return "; ".join(unknown)
    if accelerator is not None:
        return f"the runtime does not tell what a process holds of the memory of {accelerator}"
    return "no process told it"
