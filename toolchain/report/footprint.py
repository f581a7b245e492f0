"""Memory and the time to the first answer, as the report has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolchain.agent.measure.footprint.figures import find_peaks, summarize_start
from toolchain.agent.measure.quantities import EN_DASH, write_digits, write_megabytes
from toolchain.report.shape import Footprint

if TYPE_CHECKING:  # it needs numpy, without which a page must still say that numpy is missing
    from toolchain.agent.measure.footprint.figures import Footprint as Measured


def read_footprint(measured: Measured | None, *, has_device: bool, is_timed: bool) -> Footprint | None:
    """Return what was measured, summarized as the gates do it; no start of an emulated board, where time says nothing."""
    if measured is None:
        return None
    start = None if measured.failure is not None or not is_timed else summarize_start(measured)
    usual, largest = find_peaks(measured, has_device=has_device)
    unknown = sorted({reason for run in measured.runs for reason in run.unknown})
    return Footprint(
        start_ms=None if start is None else start.median_ms,
        start_least_ms=None if start is None else start.least_ms,
        start_most_ms=None if start is None else start.most_ms,
        load_ms=None if start is None else start.load_ms,
        starts=0 if start is None else start.count,
        batch=measured.batch,
        peak_bytes=None if usual is None else usual.total_bytes,
        largest_batch=measured.largest_batch,
        largest_peak_bytes=None if largest is None else largest.total_bytes,
        problem=measured.failure or "; ".join(unknown) or None,
    )


def list_footprint_rows(found: Footprint | None) -> list[list[str]]:
    """Return rows of name, float, artifact and change; the float model has none, and what is unknown has no row."""
    rows: list[list[str]] = []
    if found is None:
        return rows
    start_ms, least_ms, most_ms = found["start_ms"], found["start_least_ms"], found["start_most_ms"]
    if start_ms is not None and least_ms is not None and most_ms is not None:
        spread = f" ({write_digits(least_ms)}{EN_DASH}{write_digits(most_ms)})" if found["starts"] > 1 else ""
        rows.append(["start, ms", "", f"{write_digits(start_ms)}{spread}", ""])
    peaks = [("peak memory", found["peak_bytes"])]
    if found["largest_batch"] != found["batch"]:
        peaks.append((f"at batch {found['largest_batch']}", found["largest_peak_bytes"]))
    rows += [[name, "", write_megabytes(peak_bytes), ""] for name, peak_bytes in peaks if peak_bytes is not None]
    return rows
