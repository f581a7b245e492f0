"""Measures latency: with steady.py the only place that reads the time.

Payloads are measured in turns, so that a slow minute of the board slows all of them. Every sample is kept; what the
samples prove is in quantiles.py. How it was shown that they prove it: docs/latency.md.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from .episodes import EPISODES, find_slowdown
from .machine_speed import (
    FULL_SPEED_MAX,
    ProbeTimes,
    choose_best,
    find_slowdowns,
    make_probe,
    recall_best,
    remember_best,
)
from .quantiles import Latency, Ratio, compare_rounds, summarize_latency
from .settings import DEFAULTS
from .steady import Clock, Run, fit_runs, run_until_steady, time_block

# Two sessions of one model differ for as long as they are open, by where their memory lies: in 200 pairs of four models
# (0.008 to 6 ms) 28 intervals lay beside 1 by less than 0.4 %, none by 1 %. Intervals are wider by it on either side.
SESSION_LUCK = 0.01
# Up to this ratio, a gain of that size may be luck.
NOTICED = (1.0 + SESSION_LUCK) ** 2

# So many blocks of each payload when the samples allow: three to an episode.
_ROUNDS = 3 * EPISODES
# The first look: eleven episodes of 90 ms. Then the time doubles, so that five more looks lead to 20 s.
_FIRST_LOOK_NS = 1_000_000_000

FASTER, NOT_FASTER, UNDECIDED = "faster", "not faster", "undecided"


@dataclass(frozen=True)
class Measurement:
    """The samples of several payloads: for each name one block (of samples in ns) a round, and whether it settled.

    probes_ns are the times of the machine's own kernels before each round and after the last, best_ns their best times
    known; empty and None where the machine's speed is unknown. is_decided says that the measurement ended because it
    had answered, and not because its time was over.
    """

    blocks_ns: Mapping[str, Sequence[Sequence[int]]]
    steady: Mapping[str, bool]
    probes_ns: Sequence[ProbeTimes] = ()
    best_ns: Optional[ProbeTimes] = None
    is_decided: bool = True

    def list_samples_ms(self, name: str) -> List[float]:
        """Return every sample of one payload in the order of measurement."""
        return [sample_ns / 1e6 for block in self.blocks_ns[name] for sample_ns in block]

    def summarize(self, name: str) -> Latency:
        """Return the quantiles of one payload."""
        return summarize_latency(self.list_samples_ms(name), steady=self.steady[name])

    def list_full_speed(self) -> Optional[List[bool]]:
        """Return for each round whether the machine was at full speed; None where that is unknown."""
        slowdowns = find_slowdowns(self.probes_ns, self.best_ns)
        return None if slowdowns is None else [slowdown <= FULL_SPEED_MAX for slowdown in slowdowns]

    def misses_full_speed(self) -> bool:
        """Return whether the machine is known to be faster than it was in this measurement."""
        full_speed = self.list_full_speed()
        return full_speed is not None and sum(full_speed) < min(EPISODES, (len(full_speed) + 1) // 2)

    def find_slowdown(self) -> Optional[float]:
        """Return by how many times all payloads together became slower for good, or None where they did not."""
        medians = [[median(block) for block in blocks] for blocks in self.blocks_ns.values()]
        usual = [median(values) for values in medians]
        if not medians or min(map(min, medians)) <= 0:
            return None
        return find_slowdown(
            [sum(values[index] / usual[row] for row, values in enumerate(medians)) for index in range(len(medians[0]))]
        )

    def compare(self, slower: str, faster: str) -> Ratio:
        """Return how many times as long `slower` takes, from the medians of the blocks of the same round.

        The interval is that of the payloads, not of these two sessions: it has SESSION_LUCK on either side.
        """
        numerators, denominators = ([median(block) for block in self.blocks_ns[name]] for name in (slower, faster))
        if denominators and min(denominators) <= 0:  # no clock: find_validity says so
            return Ratio(ratio=None, low=None, high=None)
        ratios = [numerator / denominators[index] for index, numerator in enumerate(numerators)]
        ratio = compare_rounds(ratios, self.list_full_speed())
        if ratio.low is None or ratio.high is None:
            return ratio
        low, high = ratio.low / (1.0 + SESSION_LUCK), ratio.high * (1.0 + SESSION_LUCK)
        return replace(ratio, low=low, high=high, note=self._describe_speeds(ratio, low, high))

    def _describe_speeds(self, ratio: Ratio, low: float, high: float) -> Optional[str]:
        if ratio.full_speed is not None and ratio.slowed is not None:
            return (
                f"between {low:.2f} and {high:.2f}: the machine has two speeds, "
                f"{ratio.full_speed:.2f} at full speed and {ratio.slowed:.2f} while it was slowed"
            )
        if self.misses_full_speed():
            return "the machine was not seen at the best speed known of it: the ratio there is not bounded"
        return None


class Stopwatch:
    """The time since it was made."""

    def __init__(self, clock: Clock = time.perf_counter_ns) -> None:
        self._clock = clock
        self._start_ns = clock()

    def read_s(self) -> float:
        return (self._clock() - self._start_ns) / 1e9


def decide(ratio: Ratio) -> str:
    """Return what the interval of a ratio (slower over faster) proves: "faster", "not faster" or "undecided".

    Not faster: it gains SESSION_LUCK at most, of which the interval has as much again on its side. Faster: it gains
    anything, as the luck of the sessions is in the interval already.
    """
    if ratio.low is None or ratio.high is None:
        return UNDECIDED
    if ratio.high <= NOTICED:
        return NOT_FASTER
    return FASTER if ratio.low > 1.0 else UNDECIDED


def is_faster(ratio: Ratio) -> bool:
    """Return whether a ratio (slower over faster) is above 1 beyond doubt."""
    return decide(ratio) == FASTER


def is_slower(ratio: Ratio) -> bool:
    """Return whether a ratio (slower over faster) is below 1 beyond doubt: what was held to be slower is the faster one."""
    return ratio.high is not None and ratio.high < 1.0


def decides_every_ratio(measurement: Measurement) -> bool:
    """Return whether every payload is faster than every other, or not, beyond doubt."""
    pairs = itertools.permutations(measurement.blocks_ns, 2)
    return all(decide(measurement.compare(*pair)) != UNDECIDED for pair in pairs)


def _has_answered(measurement: Measurement, is_decided: Callable[[Measurement], bool]) -> bool:
    """Return whether to stop at a look: what is asked is decided, and nothing says that more time tells otherwise."""
    return not measurement.misses_full_speed() and measurement.find_slowdown() is None and is_decided(measurement)


def measure_latency(
    runs: Mapping[str, Run],
    *,
    samples: int = DEFAULTS.latency_samples,
    samples_to_look: Optional[int] = None,
    limit_s: float = DEFAULTS.latency_limit_s,
    on_progress: Optional[Callable[[int, int], None]] = None,
    clock: Clock = time.perf_counter_ns,
    is_decided: Callable[[Measurement], bool] = decides_every_ratio,
    probe: Optional[Callable[[], ProbeTimes]] = None,
    memory: Optional[Path] = None,
) -> Measurement:
    """Measure callables against each other and return every sample.

    Each is run until it is steady. Then come rounds: a probe of the machine's own speed, and one block of runs (about
    10 ms) of each callable, the first one rotating. A block opens with a run that is not recorded, because the callable
    before it has taken the caches: what is measured is the latency of a payload that runs alone, over and over.

    When each callable has `samples` samples, or `samples_to_look` where a ratio is all that is asked, there were 11 rounds, and
    one second is over, comes the first look; the next ones come whenever the rounds have doubled. Rounds end at the look at which is_decided(measurement) holds, the machine is not becoming
    slower and was seen at full speed; or after `limit_s` seconds in all (then there may be fewer samples), but not
    before 11 rounds. `memory` is the file that remembers the best speed of this machine. on_progress gets (percent
    done, 100).
    """
    start_ns = clock()
    probe = probe or make_probe(clock)
    remembered = recall_best(memory)
    warm = {name: run_until_steady(run, clock) for name, run in runs.items()}
    steady = {name: is_steady for name, (is_steady, _) in warm.items()}
    block_max = math.ceil(samples / _ROUNDS)
    lengths = {name: min(fit_runs(run_ns), block_max) for name, (_, run_ns) in warm.items()}
    names = list(runs)
    blocks_ns: Dict[str, List[List[int]]] = {name: [] for name in names}
    probes_ns = [probe()]
    first_ns = clock()
    look = EPISODES
    for rounds in itertools.count(1):
        first = rounds % len(names)
        for name in names[first:] + names[:first]:
            runs[name]()
            blocks_ns[name].append(time_block(runs[name], lengths[name], clock))
        probes_ns.append(probe())
        elapsed = (clock() - start_ns) / (limit_s * 1e9)
        gathered = min(lengths.values()) * rounds / (samples_to_look or samples)
        if on_progress is not None:
            # The first look is half of it; what comes then is seldom all of the time.
            to_first_look = min(1.0, gathered, (clock() - first_ns) / _FIRST_LOOK_NS)
            on_progress(min(99, int(100 * max(elapsed, to_first_look / 2))), 100)
        if rounds < EPISODES:
            continue
        is_over = elapsed >= 1.0
        is_look = rounds >= look and gathered >= 1.0 and clock() - first_ns >= _FIRST_LOOK_NS
        if not is_over and not is_look:
            continue
        measurement = Measurement(
            blocks_ns=blocks_ns, steady=steady, probes_ns=probes_ns, best_ns=choose_best(probes_ns, remembered)
        )
        has_answered = _has_answered(measurement, is_decided)
        if has_answered or is_over:
            break
        look = 2 * rounds
    if on_progress is not None:
        on_progress(100, 100)
    remember_best(memory, measurement.best_ns)
    return replace(measurement, is_decided=has_answered)
