"""Runs something until it takes as long as it will: before it is measured, and before an application's first frame."""

from __future__ import annotations

import time
from statistics import median
from typing import Callable, List, Tuple

# A block is long against the timer (perf_counter_ns: some 50 ns) and short against a change of the clock frequency.
_BLOCK_NS = 10_000_000
# Warm-up: steady is when the median of three blocks is within 3 % of the median of the three before, a third of
# pyperf's 10 % of noise. Two seconds are ten times what sessions took to settle on the boards tried.
_STEADY_BLOCKS = 3
_STEADY_TOLERANCE = 0.03
_WARM_UP_LIMIT_NS = 2_000_000_000

Clock = Callable[[], int]
Run = Callable[[], object]


def time_block(run: Run, runs: int, clock: Clock) -> List[int]:
    """Return what each of so many runs takes, in ns."""
    block = []
    for _ in range(runs):
        start_ns = clock()
        run()
        block.append(clock() - start_ns)
    return block


def run_until_steady(run: Run, clock: Clock = time.perf_counter_ns) -> Tuple[bool, float]:
    """Run until steady; return whether it became so, and the latest median in ns."""
    start_ns = clock()
    medians = [float(time_block(run, 1, clock)[0])]
    while clock() - start_ns < _WARM_UP_LIMIT_NS or len(medians) < 2:
        medians.append(median(time_block(run, fit_runs(medians[-1]), clock)))
        recent = medians[-_STEADY_BLOCKS:]
        before = medians[-2 * _STEADY_BLOCKS : -_STEADY_BLOCKS]
        if len(before) == _STEADY_BLOCKS and abs(median(recent) / median(before) - 1.0) <= _STEADY_TOLERANCE:
            return True, median(recent)
    return False, median(medians[-_STEADY_BLOCKS:])


def fit_runs(run_ns: float) -> int:
    """Return how many runs make a block."""
    return max(1, int(_BLOCK_NS / max(run_ns, 1.0)))
