"""What latency samples prove: quantiles with upper bounds, and ratios with intervals, all at 99 % confidence.

The bounds are order statistics: they hold for any distribution of latencies, as long as samples are independent.
Neighbouring runs are not quite (see latency.py, which spreads samples over time for that reason).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Optional, Sequence

# MLPerf Inference uses the same (inference_rules, "Early stopping": 99 % confidence).
CONFIDENCE = 0.99


@dataclass(frozen=True)
class Latency:
    """Quantiles of one payload's latency, each with its upper bound; None where there are too few samples.

    cv is the standard deviation over the mean; steady says that it had settled before the first sample.
    """

    p50_ms: Optional[float]
    p50_upper_ms: Optional[float]
    p90_ms: Optional[float]
    p90_upper_ms: Optional[float]
    p99_ms: Optional[float]
    p99_upper_ms: Optional[float]
    mean_ms: Optional[float]
    cv: Optional[float]
    samples: int
    steady: bool


@dataclass(frozen=True)
class Ratio:
    """A ratio, and the interval that holds the true one with 99 % confidence; None where there are too few samples."""

    ratio: Optional[float]
    low: Optional[float]
    high: Optional[float]


def _compute_binomial(successes: int, trials: int, probability: float) -> float:
    """Return P(X = successes) of a binomial X."""
    log_ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    log_odds = successes * math.log(probability) + (trials - successes) * math.log1p(-probability)
    return math.exp(log_ways + log_odds)


def find_upper_rank(samples: int, quantile: float) -> Optional[int]:
    """Return the 1-based rank of the order statistic that bounds the quantile from above; None for too few samples.

    It is the smallest rank r with P(fewer than r of the samples lie under the quantile) >= 99 %. The largest sample
    never is the bound, as in MLPerf's early stopping, so that no single outlier decides; this asks for at least 11
    samples for p50, 64 for p90 and 662 for p99.
    """
    above = 0.0
    rank = samples + 1
    # Walk down while P(X >= rank) <= 1 %, where X counts the samples under the quantile.
    while rank > 0:
        above += _compute_binomial(rank - 1, samples, quantile)
        if above > 1.0 - CONFIDENCE:
            break
        rank -= 1
    return rank if rank < samples else None


def find_median_ranks(samples: int) -> Optional[int]:
    """Return the largest 1-based rank r so that the r-th from below and the r-th from above hold the median.

    P(the median lies outside) = 2 P(X < r) <= 1 % for X of binomial(samples, 1/2): the interval of the sign test.
    None for less than 8 samples, where even the smallest and the largest don't suffice.
    """
    below = 0.0
    rank = 0
    while rank < samples:
        below += _compute_binomial(rank, samples, 0.5)
        if 2.0 * below > 1.0 - CONFIDENCE:
            break
        rank += 1
    return rank or None


def summarize_latency(samples_ms: Sequence[float], *, steady: bool) -> Latency:
    """Return what the samples of one payload prove."""
    ordered = sorted(samples_ms)
    count = len(ordered)
    values = {}
    for quantile in (0.5, 0.9, 0.99):
        rank = find_upper_rank(count, quantile)
        # The nearest-rank quantile: the smallest sample that at least this share of the samples does not exceed.
        values[quantile] = (
            (None, None) if rank is None else (ordered[math.ceil(quantile * count) - 1], ordered[rank - 1])
        )
    mean_ms = math.fsum(ordered) / count if count else None
    cv = None
    if mean_ms and count > 1:
        cv = math.sqrt(math.fsum((sample - mean_ms) ** 2 for sample in ordered) / (count - 1)) / mean_ms
    (p50, p50_upper), (p90, p90_upper), (p99, p99_upper) = values.values()
    return Latency(
        p50_ms=p50,
        p50_upper_ms=p50_upper,
        p90_ms=p90,
        p90_upper_ms=p90_upper,
        p99_ms=p99,
        p99_upper_ms=p99_upper,
        mean_ms=mean_ms,
        cv=cv,
        samples=count,
        steady=steady,
    )


def compare_medians(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Return the median of the ratios of paired medians, item by item, with its interval."""
    if len(numerators) != len(denominators):
        message = f"blocks come in pairs, not {len(numerators)} and {len(denominators)}"
        raise ValueError(message)
    ratios = sorted(numerator / denominators[index] for index, numerator in enumerate(numerators))
    rank = find_median_ranks(len(ratios))
    if rank is None:
        return Ratio(ratio=median(ratios) if ratios else None, low=None, high=None)
    return Ratio(ratio=median(ratios), low=ratios[rank - 1], high=ratios[-rank])
