"""What fresh processes took, as the record has it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import List, Mapping, Optional, Tuple

from ..shapes import EVALUATION_BATCH

MEMORY_PEAK, MEMORY_BATCH, START = "memory_peak_mb_max", "memory_batch_max", "start_ms_max"
"""The limits on memory: how much, and by how many samples that the application gives at once."""
# The longest of seven lies above the median of all starts with 99.2 % confidence (1 - 2**-7).
START_RUNS_MIN = 7
_WAITED_MAX = 0.1


@dataclass(frozen=True)
class FreshRun:
    """One process that loads a payload, runs it and does nothing else.

    start_ms: from the start of the process to its first answer; load_ms: the part from where the runtime is loaded; waited_ms: what
    of start_ms it could have run and got no CPU, None where the system does not tell. The peaks
    are of all memory of the process that is resident: peak_bytes in runs of `batch` samples, largest_peak_bytes in runs of
    `largest_batch` too, None where that was not run. device_* is memory of an accelerator. `unknown` says which of them
    could not be read, and why.
    """

    start_ms: float
    load_ms: float
    waited_ms: Optional[float]
    runs: int
    peak_bytes: Optional[int]
    device_peak_bytes: Optional[int]
    largest_peak_bytes: Optional[int]
    largest_device_peak_bytes: Optional[int]
    unknown: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Footprint:
    """Every process that was started for a payload; `failure` is why one did not get to its end, and none came after it."""

    batch: int
    largest_batch: int
    runs: Tuple[FreshRun, ...]
    failure: Optional[str] = None


@dataclass(frozen=True)
class Peak:
    """The most memory of any of the processes: resident, and an accelerator's (None where none is used)."""

    batch: int
    resident_bytes: int
    device_bytes: Optional[int]

    @property
    def total_bytes(self) -> int:
        """Both together: where they are one memory, nothing is counted that is not taken."""
        return self.resident_bytes + (self.device_bytes or 0)


def find_largest_batch(limits: Mapping[str, float], samples: int) -> int:
    """Return the largest batch that memory is asked of: what the recipe says, else what the evaluation runs."""
    told = limits.get(MEMORY_BATCH)
    return min(EVALUATION_BATCH, samples) if told is None else int(told)


@dataclass(frozen=True)
class Start:
    """The starts that count: their median, the shortest and the longest, and the part from where the runtime is loaded."""

    median_ms: float
    least_ms: float
    most_ms: float
    load_ms: float
    count: int
    is_disturbed: bool
    """Others took the CPU for more than a tenth of the time, as in a latency that is worth nothing (validity.py)."""


def summarize_start(footprint: Footprint) -> Optional[Start]:
    """Return the starts of all processes but the first, which read the files from the disk; of one alone, its own."""
    runs = footprint.runs[1:] or footprint.runs
    if not runs:
        return None
    starts_ms = [run.start_ms for run in runs]
    return Start(
        median_ms=median(starts_ms),
        least_ms=min(starts_ms),
        most_ms=max(starts_ms),
        load_ms=median(run.load_ms for run in runs),
        count=len(runs),
        is_disturbed=sum(run.waited_ms or 0.0 for run in runs) > _WAITED_MAX * sum(starts_ms),
    )


def find_peaks(footprint: Footprint, *, has_device: bool) -> Tuple[Optional[Peak], Optional[Peak]]:
    """Return the peak in runs of the batch that latency is measured with, and that of the largest batch.

    None is unknown: a process that could not tell makes the peak of all unknown. One of them has to have run the largest.
    """
    runs = footprint.runs
    if footprint.failure is not None or not runs or any(run.unknown for run in runs):
        return None, None
    usual = _join(footprint.batch, [(run.peak_bytes, run.device_peak_bytes) for run in runs], has_device=has_device)
    pairs = [(run.largest_peak_bytes, run.largest_device_peak_bytes) for run in runs]
    largest = _join(footprint.largest_batch, [pair for pair in pairs if pair[0] is not None], has_device=has_device)
    return usual, largest


def _join(batch: int, pairs: List[Tuple[Optional[int], Optional[int]]], *, has_device: bool) -> Optional[Peak]:
    resident = [peak for peak, _ in pairs]
    device = [peak for _, peak in pairs] if has_device else []
    if not resident or None in resident or None in device:
        return None
    most = max(peak for peak in resident if peak is not None)
    return Peak(batch, most, max((peak for peak in device if peak is not None), default=None))
