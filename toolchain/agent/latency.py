"""Measures latency: the only place that reads the time.

Payloads are measured in turns, so that a slow minute of the board slows all of them. Every sample is kept; what the
samples prove is in quantiles.py.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .quantiles import Latency, Ratio, compare_medians, summarize_latency

DEFAULT_SAMPLES = 1000
DEFAULT_LIMIT_S = 20.0
# Below an interval of ±15 % around a speedup there is something to decide by; above it, only noise was measured.
RATIO_INTERVAL_MAX = 0.15
# Two sessions of one model differ for as long as they are open, by where their memory lies: in 200 pairs of four models
# (0.008 to 6 ms) 28 intervals lay beside 1 by less than 0.4 %, none by 1 %.
SESSION_LUCK = 0.01

# A block is long against the timer (perf_counter_ns: some 50 ns) and short against a change of the clock frequency.
_BLOCK_NS = 20_000_000
# So many blocks of each payload when the samples allow: the median ratio's interval then leaves out 7 at each end.
_ROUNDS = 30
# Even past the time limit: p50 needs 11 samples, the interval of a speedup 8 blocks (quantiles.py).
_ROUNDS_MIN = 11
# Warm-up: steady is when the median of three blocks is within 3 % of the median of the three before, a third of
# pyperf's 10 % of noise. Two seconds are ten times what sessions took to settle on the boards tried.
_STEADY_BLOCKS = 3
_STEADY_TOLERANCE = 0.03
_WARM_UP_LIMIT_NS = 2_000_000_000

_Clock = Callable[[], int]
_Run = Callable[[], object]


@dataclass(frozen=True)
class Measurement:
    """The samples of several payloads: for each name one block (of samples in ns) a round, and whether it settled."""

    blocks_ns: Mapping[str, Sequence[Sequence[int]]]
    steady: Mapping[str, bool]

    def list_samples_ms(self, name: str) -> List[float]:
        """Return every sample of one payload in the order of measurement."""
        return [sample_ns / 1e6 for block in self.blocks_ns[name] for sample_ns in block]

    def summarize(self, name: str) -> Latency:
        """Return the quantiles of one payload."""
        return summarize_latency(self.list_samples_ms(name), steady=self.steady[name])

    def compare(self, slower: str, faster: str) -> Ratio:
        """Return how many times as long `slower` takes, from the medians of the blocks that were neighbours in time."""
        return compare_medians(
            [median(block) for block in self.blocks_ns[slower]], [median(block) for block in self.blocks_ns[faster]]
        )


class Stopwatch:
    """The time since it was made."""

    def __init__(self, clock: _Clock = time.perf_counter_ns) -> None:
        self._clock = clock
        self._start_ns = clock()

    def read_s(self) -> float:
        return (self._clock() - self._start_ns) / 1e9


def is_conclusive(ratio: Ratio) -> bool:
    """Return whether the interval of a ratio lies within ±15 % of it."""
    if ratio.ratio is None or ratio.low is None or ratio.high is None:
        return False
    return ratio.high - ratio.low <= 2.0 * RATIO_INTERVAL_MAX * ratio.ratio


def is_faster(ratio: Ratio) -> bool:
    """Return whether a ratio (slower over faster) is above 1 with 99 % confidence, by more than the luck of a session."""
    return ratio.low is not None and ratio.low > 1.0 + SESSION_LUCK


def decide(ratio: Ratio) -> str:
    """Return "faster" or "not faster" where the whole interval says so, else "undecided"."""
    if is_faster(ratio):
        return "faster"
    return "not faster" if ratio.high is not None and ratio.high <= 1.0 + SESSION_LUCK else "undecided"


def _time_block(run: _Run, runs: int, clock: _Clock) -> List[int]:
    block = []
    for _ in range(runs):
        start_ns = clock()
        run()
        block.append(clock() - start_ns)
    return block


def _warm_up(run: _Run, clock: _Clock) -> Tuple[bool, float]:
    """Run until steady; return whether it became so, and the latest median in ns."""
    start_ns = clock()
    medians = [float(_time_block(run, 1, clock)[0])]
    while clock() - start_ns < _WARM_UP_LIMIT_NS or len(medians) < 2:
        medians.append(median(_time_block(run, _fit_runs(medians[-1]), clock)))
        recent = medians[-_STEADY_BLOCKS:]
        before = medians[-2 * _STEADY_BLOCKS : -_STEADY_BLOCKS]
        if len(before) == _STEADY_BLOCKS and abs(median(recent) / median(before) - 1.0) <= _STEADY_TOLERANCE:
            return True, median(recent)
    return False, median(medians[-_STEADY_BLOCKS:])


def _fit_runs(run_ns: float) -> int:
    return max(1, int(_BLOCK_NS / max(run_ns, 1.0)))


def _is_done(blocks_ns: Dict[str, List[List[int]]], steady: Mapping[str, bool], samples: int) -> bool:
    if any(sum(map(len, blocks)) < samples for blocks in blocks_ns.values()):
        return False
    measurement = Measurement(blocks_ns=blocks_ns, steady=steady)
    return all(is_conclusive(measurement.compare(*pair)) for pair in itertools.combinations(blocks_ns, 2))


def measure_latency(
    runs: Mapping[str, _Run],
    *,
    samples: int = DEFAULT_SAMPLES,
    limit_s: float = DEFAULT_LIMIT_S,
    on_progress: Optional[Callable[[int, int], None]] = None,
    clock: _Clock = time.perf_counter_ns,
) -> Measurement:
    """Measure callables against each other and return every sample.

    Each is run until it is steady. Then come rounds: one block of runs (about 20 ms) of each callable, the first one
    rotating. A block opens with a run that is not recorded, because the callable before it has taken the caches: what
    is measured is the latency of a payload that runs alone, over and over. Rounds end when each callable has `samples`
    samples and every ratio between two has an interval within ±15 %, or after `limit_s` seconds in all (then there are
    fewer samples, or a wider interval), but not before 11 rounds. on_progress gets (percent done, 100).
    """
    start_ns = clock()
    warm = {name: _warm_up(run, clock) for name, run in runs.items()}
    steady = {name: is_steady for name, (is_steady, _) in warm.items()}
    block_max = math.ceil(samples / _ROUNDS)
    lengths = {name: min(_fit_runs(run_ns), block_max) for name, (_, run_ns) in warm.items()}
    names = list(runs)
    blocks_ns: Dict[str, List[List[int]]] = {name: [] for name in names}
    for rounds in itertools.count(1):
        first = rounds % len(names)
        for name in names[first:] + names[:first]:
            runs[name]()
            blocks_ns[name].append(_time_block(runs[name], lengths[name], clock))
        elapsed = (clock() - start_ns) / (limit_s * 1e9)
        gathered = min(lengths.values()) * rounds / samples
        if on_progress is not None:
            on_progress(min(99, int(100 * max(elapsed, gathered))), 100)
        if rounds >= _ROUNDS_MIN and (elapsed >= 1.0 or _is_done(blocks_ns, steady, samples)):
            break
    if on_progress is not None:
        on_progress(100, 100)
    return Measurement(blocks_ns=blocks_ns, steady=steady)
