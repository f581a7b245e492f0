"""What latency samples prove: quantiles with upper bounds, and ratios with intervals, all at 99 % confidence.

Bounds are order statistics, which hold for any distribution, of episodes, because samples depend on their neighbours
(episodes.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Optional, Sequence

from .episodes import EPISODES, find_interval, split_episodes, wanders

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
    """A ratio, and the interval that holds the true one with 99 % confidence; None where there are too few samples.

    full_speed and slowed are the ratios in either state of the machine where it was seen in both, else None; note says
    in words what the interval does not.
    """

    ratio: Optional[float]
    low: Optional[float]
    high: Optional[float]
    full_speed: Optional[float] = None
    slowed: Optional[float] = None
    note: Optional[str] = None


def _compute_binomial(successes: int, trials: int, probability: float) -> float:
    """Return P(X = successes) of a binomial X."""
    log_ways = math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
    log_odds = successes * math.log(probability) + (trials - successes) * math.log1p(-probability)
    return math.exp(log_ways + log_odds)


@lru_cache(maxsize=None)
def _find_rank(samples: int, quantile: float, confidence: float) -> int:
    """Return the smallest rank r with P(fewer than r of the samples lie under the quantile) >= confidence.

    The rank samples + 1, of which there is no sample, says that none is high enough.
    """
    above = 0.0
    rank = samples + 1
    # Walk down while P(X >= rank) <= 1 - confidence, where X counts the samples under the quantile.
    while rank > 0:
        above += _compute_binomial(rank - 1, samples, quantile)
        if above > 1.0 - confidence:
            break
        rank -= 1
    return rank


def find_upper_rank(samples: int, quantile: float) -> Optional[int]:
    """Return the 1-based rank of the order statistic that bounds the quantile from above; None for too few samples.

    Samples count as independent here, as in MLPerf's early stopping. The largest sample never is the bound, as there,
    so that no single outlier decides; this asks for at least 11 samples for p50, 64 for p90 and 662 for p99.
    """
    rank = _find_rank(samples, quantile, CONFIDENCE)
    return rank if rank < samples else None


def find_upper_bound(samples: Sequence[float], quantile: float) -> Optional[float]:
    """Return the upper bound of a quantile, from samples in their order of time; None for too few samples.

    It is the larger of two: the order statistic of find_upper_rank, and the highest of 11 episodes. From each episode
    comes the smallest order statistic that is at least the quantile with probability 1/2; that all are under it is as
    likely as 11 heads of 11 coins, 0.05 %. Where episodes are so short that this is their largest sample, it is the
    second highest (0.6 %), so that no single outlier decides; only with samples for 9 or 10 episodes can one.
    """
    rank = find_upper_rank(len(samples), quantile)
    if rank is None:
        return None
    # The fewest samples whose largest is at least the quantile with probability 1/2: 1 for p50, 7 for p90, 69 for p99.
    fewest = math.ceil(math.log(0.5) / math.log(quantile))
    episodes = split_episodes(samples, min(EPISODES, len(samples) // fewest))
    ranks = [_find_rank(len(episode), quantile, 0.5) for episode in episodes]
    bounds = sorted(sorted(episode)[ranks[index] - 1] for index, episode in enumerate(episodes))
    is_largest = any(ranks[index] == len(episode) for index, episode in enumerate(episodes))
    second = len(episodes) == EPISODES and is_largest and not wanders(samples)
    return max(sorted(samples)[rank - 1], bounds[-2 if second else -1])


def summarize_latency(samples_ms: Sequence[float], *, steady: bool) -> Latency:
    """Return what the samples of one payload prove, in their order of time."""
    ordered = sorted(samples_ms)
    count = len(ordered)
    values = {}
    for quantile in (0.5, 0.9, 0.99):
        upper = find_upper_bound(samples_ms, quantile)
        # As MLPerf's load generator counts: the smallest sample that more than this share of the samples do not exceed.
        values[quantile] = (None, None) if upper is None else (ordered[int(quantile * count)], upper)
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


def compare_rounds(ratios: Sequence[float], at_full_speed: Optional[Sequence[bool]] = None) -> Ratio:
    """Return the median of the ratios of rounds in their order of time, with its interval.

    at_full_speed says for each round whether the machine was; None is unknown. Where there are 11 rounds of either
    kind, each kind has an interval and the interval of the ratio holds both: how often the machine will be slowed when
    the payload is in use is not known.
    """
    if not ratios:
        return Ratio(ratio=None, low=None, high=None)
    kinds = [list(ratios)]
    if at_full_speed is not None:
        full = [ratio for index, ratio in enumerate(ratios) if at_full_speed[index]]
        slowed = [ratio for index, ratio in enumerate(ratios) if not at_full_speed[index]]
        if min(len(full), len(slowed)) >= EPISODES:
            kinds = [full, slowed]
    intervals = [interval for interval in map(find_interval, kinds) if interval is not None]
    two = len(kinds) == 2
    return Ratio(
        ratio=median(ratios),
        low=min(low for low, _ in intervals) if intervals else None,
        high=max(high for _, high in intervals) if intervals else None,
        full_speed=median(kinds[0]) if two else None,
        slowed=median(kinds[1]) if two else None,
    )
