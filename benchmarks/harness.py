"""Whether the harness is right about series whose truth is known: coverage, false alarms, sensitivity, throttling, overhead.

    python -m benchmarks.harness [--runs N] [--only NAME]

Each kind of series is measured by the agent's own code on a made clock (benchmarks/simulated_machine.py), N times (1000) for
each question. One JSON line a kind: the share of intervals of a 5 % difference that hold the true ratio, of upper bounds of
p90 that are not under the true one, of A/A comparisons that name a winner, of 5 % slowdowns that are found and that are
left undecided, and the mean simulated seconds. Of two speeds, what is asked for is the ratio in each speed that the run saw
for 22 rounds. Last come traces of a board that throttles, beside quiet ones, and the overhead of a query in microseconds,
which is the only number that is really measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.simulated_machine import Payload, Series, SimulatedMachine
from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.latency import FASTER, UNDECIDED, Measurement, decide, is_faster, measure_latency
from toolchain.agent.measure.validity import find_validity

KINDS: Mapping[str, Series] = {
    "independent": Series(noise=0.05),
    "autocorrelated, 5 ms": Series(wander=0.05, memory_s=0.005),
    "autocorrelated, 50 ms": Series(wander=0.05, memory_s=0.05),
    "autocorrelated, 200 ms": Series(wander=0.05, memory_s=0.2),
    "autocorrelated, 1 s": Series(wander=0.05, memory_s=1.0),  # beyond what is claimed
    "two speeds, 10 ms": Series(dwell_s=0.01),
    "two speeds, 100 ms": Series(dwell_s=0.1),
    "two speeds, 1 s": Series(dwell_s=1.0),
    "two speeds, 10 s": Series(dwell_s=10.0),
    "drifting": Series(drift=0.02),
    "slow wave": Series(wave=0.2),
    "heavy tails": Series(tail=0.05),
}
SLOWER = 1.05
# The two payloads of docs/latency.md: the slowed machine takes 31 % more time for one, 60 % more for the other.
_SLOWED = (1.31, 1.6)
_SAMPLES = 300
_UNDISTURBED = Conditions({}, {}, {})
_TRUTH_SAMPLES = 100_000
# A speed that was seen for fewer rounds cannot have an interval of eleven episodes of its own.
_ROUNDS_SEEN = 22
# A speed that lasts less than a round of some 20 ms is in no round alone.
_DWELL_MIN_S = 0.05


@dataclass(frozen=True)
class Tally:
    """What was right of N runs of one kind, as shares; None where nothing was asked."""

    ratio_coverage: float
    p90_coverage: float
    aa_alarms: float
    found: float
    undecided: float
    speeds_coverage: float | None
    simulated_s: float


def measure_kind(series: Series, runs: int) -> Tally:
    """Measure one kind of series `runs` times for each question, with the seeds 0, 1, 2, ..."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Path(folder) / "speed.json"
        pairs = [_measure(series, 3 * seed, memory, 1.31, 1.31, SLOWER) for seed in range(runs)]
        alarms = [_measure(series, 3 * seed + 1, memory, 1.31, 1.31, 1.0)[1] for seed in range(runs)]
        speeds = [
            _measure(series, 3 * seed + 2, memory, *_SLOWED, SLOWER) for seed in range(runs if series.dwell_s else 0)
        ]
    ratios = [measurement.compare("slower", "faster") for _, measurement in pairs]
    decisions = [decide(ratio) for ratio in ratios]
    seen = [held for pair in speeds for held in _hold_speeds(series, *pair)]
    return Tally(
        ratio_coverage=_share((ratio.low or 0.0) <= SLOWER <= (ratio.high or 0.0) for ratio in ratios),
        p90_coverage=_share(_holds_p90(series, *pair) for pair in pairs),
        aa_alarms=_share(
            is_faster(m.compare("slower", "faster")) or is_faster(m.compare("faster", "slower")) for m in alarms
        ),
        found=decisions.count(FASTER) / runs,
        undecided=decisions.count(UNDECIDED) / runs,
        speeds_coverage=_share(seen) if seen else None,
        simulated_s=sum(machine.now_ns for machine, _ in pairs) / runs / 1e9,
    )


def find_invalid(series: Series, runs: int) -> float:
    """Return the share of runs that are found invalid, by the series alone."""
    measured = [_measure(series, seed, None, 1.31, 1.31, SLOWER)[1] for seed in range(runs)]
    return _share(bool(find_validity(measurement, _UNDISTURBED, _UNDISTURBED).problems) for measurement in measured)


def measure_overhead_us() -> float:
    """Return what the harness adds to one query beside the call itself, in microseconds, measured on this machine."""
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1

    measurement = measure_latency({"nothing": run}, is_decided=lambda _: True)
    return float(np.median(measurement.list_samples_ms("nothing"))) * 1e3


def _measure(
    series: Series, seed: int, memory: Path | None, slower: float, faster: float, ratio: float
) -> tuple[SimulatedMachine, Measurement]:
    machine = SimulatedMachine(series, seed)
    payloads = {"slower": Payload(1.0, slowed=slower), "faster": Payload(1.0 / ratio, slowed=faster)}
    return machine, machine.measure(payloads, samples=_SAMPLES, memory=memory)


def _hold_speeds(series: Series, machine: SimulatedMachine, measurement: Measurement) -> Iterator[bool]:
    """Yield for each speed that was seen whether its ratio is in the interval."""
    ratio = measurement.compare("slower", "faster")
    low, high = ratio.low or 0.0, ratio.high or 0.0
    full, slowed = SLOWER, SLOWER * _SLOWED[0] / _SLOWED[1]
    if series.dwell_s is not None and series.dwell_s < _DWELL_MIN_S:
        yield low <= SLOWER * (1.0 + _SLOWED[0]) / (1.0 + _SLOWED[1]) <= high
        return
    rounds, share = len(measurement.blocks_ns["slower"]), machine.find_slowed_share()
    if rounds * (1.0 - share) >= _ROUNDS_SEEN:
        yield low <= full <= high
    if rounds * share >= _ROUNDS_SEEN:
        yield low <= slowed <= high


def _holds_p90(series: Series, machine: SimulatedMachine, measurement: Measurement) -> bool:
    """Return whether the bound is not under the true p90 of the run's stretch of time."""
    upper_ms = measurement.summarize("slower").p90_upper_ms
    rng = np.random.default_rng(0)
    times_s = rng.random(_TRUTH_SAMPLES) * machine.now_ns / 1e9
    sigma = np.hypot(series.noise, series.wander)
    samples = np.exp(sigma * rng.standard_normal(_TRUTH_SAMPLES))
    samples *= (1.0 + series.drift * times_s) * (1.0 + series.wave * np.sin(times_s / 0.3))
    # What counts is a query, of which there are fewer in an hour of the slowed machine.
    slowed, full = machine.find_slowed_share() / 1.31, 1.0 - machine.find_slowed_share()
    samples[rng.random(_TRUTH_SAMPLES) < slowed / (slowed + full)] *= 1.31
    in_tail = rng.random(_TRUTH_SAMPLES) < series.tail
    samples[in_tail] *= (1.0 - rng.random(int(in_tail.sum()))) ** (-1.0 / 1.5)
    return upper_ms is not None and upper_ms >= float(np.quantile(samples, 0.9))


def _share(outcomes: Iterator[bool] | list[bool]) -> float:
    values = list(outcomes)
    return sum(values) / len(values)


def _write(row: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps({key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print one row per kind."""
    parser = argparse.ArgumentParser("python -m benchmarks.harness")
    parser.add_argument("--runs", type=int, default=1000, help="runs for each question")
    parser.add_argument("--only", choices=KINDS, help="one kind of series, and nothing else")
    options = parser.parse_args()
    for kind, series in KINDS.items():
        if options.only in (None, kind):
            started_s = time.perf_counter()
            _write({"kind": kind, "runs": options.runs, **vars(measure_kind(series, options.runs))})
            sys.stderr.write(f"{kind}: {time.perf_counter() - started_s:.0f} s\n")
    if options.only is None:
        _write(
            {
                "kind": "throttled by and by",
                "runs": options.runs,
                "invalid": find_invalid(Series(drift=0.3), options.runs),
            }
        )
        _write(
            {
                "kind": "throttled at once",
                "runs": options.runs,
                "invalid": find_invalid(Series(step_s=0.6), options.runs),
            }
        )
        _write({"kind": "quiet", "runs": options.runs, "invalid": find_invalid(Series(), options.runs)})
        _write({"kind": "overhead", "overhead_us": measure_overhead_us()})


if __name__ == "__main__":
    main()
