"""The numbers of a report side by side: float, the artifact, and how they differ."""

from __future__ import annotations

from toolchain.agent.measure.quantities import write_speedup, write_value
from toolchain.report.footprint import list_footprint_rows
from toolchain.report.quantities import name_metric, write_bound, write_change, write_size, write_size_change
from toolchain.report.shape import Report


def list_numbers(report: Report) -> list[list[str]]:
    """Return rows of name, float, artifact and change; what was not measured has no row."""
    rows: list[list[str]] = []
    metric, artifact, original, latency = (
        report["metric"],
        report["artifact"],
        report["original"],
        report["latency"],
    )
    if metric is not None:
        values = [write_value(metric[key], metric["unit"]) for key in ("reference", "deployed")]
        change = write_change(metric["deployed"] - metric["reference"], metric["unit"])
        rows.append([name_metric(metric), *values, change])
    if artifact is not None and original is not None:
        before_bytes, after_bytes = original["size_bytes"], artifact["size_bytes"]
        change = write_size_change(before_bytes, after_bytes)
        rows.append(["size", write_size(before_bytes), write_size(after_bytes), change])
    if latency is not None and latency["deployed"]["samples"]:
        before, after = latency["reference"], latency["deployed"]
        change = write_speedup(latency["speedup"], latency["speedup_low"], latency["speedup_high"])
        if report["emulated"]:
            change = "emulated, no measurement"
        rows += [
            [
                "p50, ms",
                write_bound(before["p50_ms"], before["p50_upper_ms"]),
                write_bound(after["p50_ms"], after["p50_upper_ms"]),
                change,
            ],
            [
                "p90, ms",
                write_bound(before["p90_ms"], before["p90_upper_ms"]),
                write_bound(after["p90_ms"], after["p90_upper_ms"]),
                "",
            ],
            [
                "p99, ms",
                write_bound(before["p99_ms"], before["p99_upper_ms"]),
                write_bound(after["p99_ms"], after["p99_upper_ms"]),
                "",
            ],
        ]
    return rows + list_footprint_rows(report["footprint"])
