"""Bounds from episodes: stretches of a series long enough to stand for themselves, when its neighbours do not.

Neighbouring samples depend on each other: the clock, the caches and the neighbours of a core change over milliseconds to
seconds. A bound that counts samples takes them for news and promises too much. Episodes are the remedy of batch means
(Law and Kelton, Simulation Modeling and Analysis, section 9.5): the series is cut into few long pieces, and the bound
counts pieces. It holds as long as pieces do not depend on each other, so that a measurement that goes on, with the same
number of longer episodes, gets truer. docs/latency.md shows by simulation for which series it holds.
"""

from __future__ import annotations

import math
from statistics import median
from typing import List, Optional, Sequence, Tuple, TypeVar

# A median lies outside the lowest and the highest of 11 independent medians with probability 2 * 2^-11 = 0.1 %: the sign
# test. So one can look ten times whether that decides, and is still right with 99 %.
EPISODES = 11
# A quarter of a measurement that is slow to its end is enough to look for longer.
_LAST = 3
# A slowdown of less is how any machine wanders: on the one of docs/latency.md the episodes of a second differ by 2 %.
SLOWDOWN_MIN = 1.1

# Half episodes show dependence sooner than whole ones. Of 22 independent values one series in 35 has a von Neumann ratio
# under 1.2, of 22 whose neighbours have a correlation of 0.8 nearly every one; the stretch is what long memories ask for
# (benchmarks/harness.py).
_VON_NEUMANN_MIN = 1.4
_STRETCH = 3.0

_Item = TypeVar("_Item")


def split_episodes(series: Sequence[_Item], count: int = EPISODES) -> List[Sequence[_Item]]:
    """Return the series in `count` pieces, as equal as can be, in its order; count <= len(series)."""
    borders = [len(series) * index // count for index in range(count + 1)]
    return [series[borders[index] : borders[index + 1]] for index in range(count)]


def find_interval(series: Sequence[float]) -> Optional[Tuple[float, float]]:
    """Return the lowest and the highest median of 11 episodes; None for fewer than 11 values.

    Where half episodes are like their neighbours, the series wanders too slowly for its length, and has not been
    everywhere yet: the interval is stretched by three times its width on either side.
    """
    if len(series) < EPISODES:
        return None
    medians = [median(episode) for episode in split_episodes(series)]
    low, high = min(medians), max(medians)
    stretch = _STRETCH * (high - low) if wanders(series) else 0.0
    return low - stretch, high + stretch


def wanders(series: Sequence[float]) -> bool:
    """Return whether half episodes are like their neighbours; never for fewer than 11 values."""
    if len(series) < EPISODES:
        return False
    halves = [median(half) for half in split_episodes(series, min(2 * EPISODES, len(series)))]
    return _compute_von_neumann(halves) < _VON_NEUMANN_MIN


def _compute_von_neumann(values: Sequence[float]) -> float:
    """Return the mean square of successive differences over the variance: 2 for independent values, 0 for a slow drift."""
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values)
    steps = math.fsum((values[index] - values[index - 1]) ** 2 for index in range(1, len(values)))
    return steps / spread if spread > 0 else 2.0


def find_slowdown(series: Sequence[float]) -> Optional[float]:
    """Return by how many times a series of latencies rose for good, or None where it did not.

    For good: the last 3 of 11 episodes all lie above nearly every one of the first 11 values, by SLOWDOWN_MIN in the
    median. So it is when a board gets hot. A machine that comes and goes between two speeds was slowed too, but comes
    back when it is measured for longer.
    """
    if len(series) < EPISODES:
        return None
    first = series[: min(EPISODES, len(series) // 2)]
    last = [median(episode) for episode in split_episodes(series)[-_LAST:]]
    slowdown = median(last) / median(first)
    rose = sum(value < min(last) for value in first) >= len(first) - 1
    return slowdown if rose and slowdown >= SLOWDOWN_MIN else None
