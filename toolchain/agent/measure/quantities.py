"""Numbers as people read them in gates and reports."""

from __future__ import annotations

from typing import Optional

from .scale import FRACTION_UNIT

EN_DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
ABSENT = EN_DASH


def write_digits(value: float) -> str:
    """Return a number with three significant digits and no exponent: 0.0931, 2.06, 1042."""
    if value == 0:
        return "0"
    digits = 0
    while digits < 6 and abs(value) * 10**digits < 99.95:
        digits += 1
    return f"{value:.{digits}f}"


def write_ms(value_ms: Optional[float]) -> str:
    """Return a latency: 0.931 ms."""
    return ABSENT if value_ms is None else f"{write_digits(value_ms)} ms"


def write_megabytes(size_bytes: int) -> str:
    """Return a size of memory in millions of bytes: 61.2 MB."""
    return f"{write_digits(size_bytes / 1e6)} MB"


def write_percent(fraction: Optional[float], digits: int = 2) -> str:
    """Return a fraction as per cent: 92.31 %."""
    return ABSENT if fraction is None else f"{100 * fraction:.{digits}f} %"


def write_points(fraction: float) -> str:
    """Return a difference of two fractions as percentage points: 0.10 points."""
    return f"{100 * fraction + 0.0:.2f} points"


def write_value(value: Optional[float], unit: str) -> str:
    """Return a metric's value in its unit (scale.py): 92.31 %, 3.20 px."""
    if value is None or unit == FRACTION_UNIT:
        return write_percent(value)
    return f"{write_digits(value)} {unit}".rstrip()


def write_difference(difference: float, unit: str) -> str:
    """Return a difference of two values of a metric: 0.10 points, 0.20 px."""
    if unit == FRACTION_UNIT:
        return write_points(difference)
    return f"{write_digits(difference)} {unit}".rstrip()


def write_speedup(ratio: Optional[float], low: Optional[float], high: Optional[float]) -> str:
    """Return a speedup with its interval, such as 2.06 times as fast (2.01 to 2.11), in signs."""
    if ratio is None:
        return ABSENT
    interval = "" if low is None or high is None else f" ({low:.2f}{EN_DASH}{high:.2f})"
    return f"{ratio:.2f}{TIMES} as fast{interval}"


def write_sqnr(
    sqnr_db: Optional[float], max_abs: Optional[float], nonfinite: int, least_db: Optional[float] = None
) -> str:
    """Return the SQNR of an output: 29.4 dB, or that it is exact, where the SQNR is infinite; least_db is its gate."""
    if max_abs == 0 and nonfinite == 0:
        return "exact"
    return ABSENT if sqnr_db is None else f"{write_below(sqnr_db, least_db)} dB"


def write_below(value: float, least: Optional[float]) -> str:
    """Return a number with one digit behind the point, or as many as show that it is below the least: 19.97 of 20."""
    texts = [f"{value:.{digits}f}" for digits in (1, 2, 3, 6)]
    if least is None or not value < least:
        return texts[0]
    return next((text for text in texts if float(text) < least), repr(value))


def write_count(count: int, noun: str) -> str:
    """Return a count with its noun: 1 thread, 1,500 runs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
