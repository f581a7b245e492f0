"""Numbers as people read them in reports alone; those that gates write too are in agent/measure/quantities.py."""

from __future__ import annotations

from toolchain.agent.measure.quantities import ABSENT, TIMES, write_digits
from toolchain.agent.measure.quantities import write_difference as write_difference_of_metric
from toolchain.report.shape import Metric

MINUS = "\N{MINUS SIGN}"


def write_size(size_bytes: int) -> str:
    """Return a size in decimal units with three significant digits: 312 kB."""
    value, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 999.5:  # 999.5 and more would be written as 1000
            break
        value, unit = value / 1000, larger
    return f"{size_bytes} B" if unit == "B" else f"{write_digits(value)} {unit}"


def write_bound(value_ms: float | None, upper_ms: float | None) -> str:
    """Return a percentile in ms, without the unit, and the upper end of its interval: 0.931 (≤ 0.944)."""
    if value_ms is None:
        return ABSENT
    return write_digits(value_ms) + ("" if upper_ms is None else f" (≤ {write_digits(upper_ms)})")


def name_metric(metric: Metric) -> str:
    """Return what a metric is called: its name, and where the truth is the float model's answers, that it is agreement."""
    return metric["name"] if metric["truth"] == "labels" else f"agreement with float, {metric['name']}"


def write_change(difference: float, unit: str) -> str:
    """Return a signed difference of two values of a metric in its unit: +0.05 points, −0.20 px; what fell has a minus sign."""
    size = write_difference_of_metric(abs(difference), unit)
    is_zero = not any(digit in "123456789" for digit in size.partition(" ")[0])
    return size if is_zero else f"{MINUS if difference < 0 else '+'}{size}"


def write_size_change(before_bytes: int, after_bytes: int) -> str:
    """Return how a size changed, such as 3.09 times smaller, in signs, or the same size."""
    if min(before_bytes, after_bytes) <= 0:
        return ABSENT
    larger = after_bytes / before_bytes
    if f"{larger:.2f}" == "1.00":
        return "the same size"
    return f"{larger:.2f}{TIMES} larger" if larger > 1 else f"{1 / larger:.2f}{TIMES} smaller"


def write_cosine(cosine: float | None) -> str:
    """Return a cosine similarity with the five decimals in which good ones differ: 0.99941."""
    return ABSENT if cosine is None else f"{cosine:.5f}"


def write_difference(value: float | None) -> str:
    """Return an absolute difference of two outputs with three significant digits: 0.118, 3.1e-07."""
    return ABSENT if value is None else f"{value:.3g}"


def write_duration(duration_s: float) -> str:
    """Return a duration: 0.04 s, 12.3 s, 3 min 05 s."""
    if duration_s < 60:
        return f"{duration_s:.2f} s" if duration_s < 10 else f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
