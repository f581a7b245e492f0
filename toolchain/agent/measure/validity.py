"""Whether a measurement means anything: what its series and the board say of contention, throttling, drift and the clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .conditions import Conditions
from .latency import Measurement
from .quantiles import Latency

# The share of the measurement in which this process could run and was not let: 60 to 86 % beside eight jobs on two CPUs
# (docs/latency.md), a third beside one job more than there are CPUs, and nothing where a CPU is free.
_RUN_DELAY_MAX = 0.1
# What is shorter in all cannot shift a measurement of a second; /proc/stat counts in steps of 10 ms.
_WAIT_MIN_NS = 50_000_000
# The share of all CPUs' time that the hypervisor gave to others: up to 1.2 % on the machine of docs/latency.md.
_STEAL_MAX = 0.1
# In which at least one task waited for memory: the kernel is reclaiming or swapping. 0 on that machine, busy as it was.
_MEMORY_STALL_MAX = 0.05
# Pages that this process read back from the disk; warm-up has read all of a model, so that one a second is swapping.
_FAULTS_MAX_PER_S = 1.0
# A tenth of the runs takes double: no longer the scatter of one machine, whose second speed is 1.3 to 1.6 times slower.
_TAIL_MAX = 2.0
# NTP slews a clock by 0.05 % at the most (adjtimex(2)); a clock that runs falser than ten times that measures nothing.
_CLOCK_RATE_MAX = 0.005
# Between the readings of two clocks this process can be put off the CPU; a board that slept was away for longer.
_READING_MAX_NS = 50_000_000


@dataclass(frozen=True)
class Validity:
    """Problems make a verdict invalid (exit 20), notes are to be read; unknown are the sensors that cannot be read."""

    problems: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()
    unknown: Tuple[str, ...] = ()


def find_validity(measurement: Measurement, before: Conditions, after: Conditions) -> Validity:
    """Return what speaks against a measurement, from its series and the board's conditions before and after it."""
    growth = _find_growth(before, after)
    unknown = [name for name, grown in growth.items() if grown is None]
    if not after.temperatures_c or None in after.temperatures_c.values():
        unknown.append("temperatures")
    if not after.clocks_hz or None in after.clocks_hz.values():
        unknown.append("clocks")
    if measurement.list_full_speed() is None:
        unknown.append("machine speed")
    problems = [*_check_samples(measurement), *find_disturbances(before, after), *_check_series(measurement)]
    return Validity(problems=tuple(problems), notes=tuple(_list_notes(measurement)), unknown=tuple(unknown))


def find_disturbances(before: Conditions, after: Conditions) -> Tuple[str, ...]:
    """Return what the board's conditions before and after a measurement say against it, whatever was measured."""
    growth = _find_growth(before, after)
    return (*_check_clocks(growth), *_check_clock_limits(before, after), *_check_contention(growth))


def has_tail(latency: Latency) -> bool:
    """Return whether a tenth of the runs takes so long that no machine's own scatter explains it."""
    return bool(latency.p50_ms and latency.p90_ms and latency.p90_ms > _TAIL_MAX * latency.p50_ms)


def find_contention(before: Conditions, after: Conditions) -> Tuple[str, ...]:
    """Return what says that others used the board between two moments, where there is no measurement to look at."""
    return tuple(_check_contention(_find_growth(before, after)))


def _find_growth(before: Conditions, after: Conditions) -> Dict[str, Optional[int]]:
    growth: Dict[str, Optional[int]] = {}
    for name, end in after.counters.items():
        start = before.counters.get(name)
        growth[name] = None if start is None or end is None else end - start
    return growth


def _find_share(growth: Dict[str, Optional[int]], name: str, whole: str) -> float:
    """Return what share of the whole a counter grew by; 0 where that is unknown, or too short to matter."""
    part, whole_ns = growth.get(name), growth.get(whole)
    if part is None or whole_ns is None or whole_ns <= 0:
        return 0.0
    part_ns = part * 1000 if name.endswith("_us") else part
    return part_ns / whole_ns if part_ns > _WAIT_MIN_NS else 0.0


def _check_samples(measurement: Measurement) -> List[str]:
    samples_ms = [sample for name in measurement.blocks_ns for sample in measurement.list_samples_ms(name)]
    if samples_ms and min(samples_ms) <= 0:
        return [f"the clock stood still or went back: a run took {min(samples_ms):g} ms"]
    return []


def _check_clocks(growth: Dict[str, Optional[int]]) -> List[str]:
    problems = []
    wall_ns, raw_ns, boot_ns = (growth.get(name) for name in ("monotonic_ns", "raw_ns", "boot_ns"))
    if wall_ns is not None and wall_ns <= 0:
        problems.append("the clock stood still or went back during the measurement")
    elif wall_ns is not None:
        if raw_ns is not None and abs(raw_ns - wall_ns) > max(_CLOCK_RATE_MAX * wall_ns, _READING_MAX_NS):
            problems.append(
                f"the clock was being set: {wall_ns / 1e9:.2f} s passed on it, {raw_ns / 1e9:.2f} s on the hardware's"
            )
        if boot_ns is not None and boot_ns - wall_ns > _READING_MAX_NS:
            problems.append(f"the board slept for {(boot_ns - wall_ns) / 1e9:.2f} s during the measurement")
    return problems


def _check_clock_limits(before: Conditions, after: Conditions) -> List[str]:
    # The counters of throttling are a gate of their own (gates/throttling.py).
    problems = []
    for name, end_hz in after.clocks_hz.items():
        start_hz = before.clocks_hz.get(name)
        if name.endswith("limit") and start_hz is not None and end_hz is not None and end_hz < start_hz:
            problems.append(f"the limit of a clock fell: {name}, {start_hz / 1e6:.0f} to {end_hz / 1e6:.0f} MHz")
    return problems


def _check_contention(growth: Dict[str, Optional[int]]) -> List[str]:
    shares = (
        ("run_delay_ns", "monotonic_ns", _RUN_DELAY_MAX, "others wanted the CPU: the measurement waited for it"),
        ("steal_ns", "cpu_ns", _STEAL_MAX, "the hypervisor gave the CPU to others"),
        ("memory_stall_us", "monotonic_ns", _MEMORY_STALL_MAX, "memory ran short: tasks waited for it"),
    )
    problems = []
    for name, whole, limit, what in shares:
        share = _find_share(growth, name, whole)
        if share > limit:
            problems.append(f"{what} {100 * share:.0f} % of the time, more than {100 * limit:.0f} %")
    faults, wall_ns = growth.get("faults"), growth.get("monotonic_ns")
    if faults is not None and wall_ns is not None and faults > max(1.0, _FAULTS_MAX_PER_S * wall_ns / 1e9):
        problems.append(f"memory was swapped: {faults} pages were read back from the disk")
    return problems


def _check_series(measurement: Measurement) -> List[str]:
    problems = []
    for name in measurement.blocks_ns:
        latency = measurement.summarize(name)
        if has_tail(latency) and latency.p50_ms and latency.p90_ms:
            problems.append(
                f"{name}: a tenth of the runs takes {latency.p90_ms:.3g} ms and more, {latency.p90_ms / latency.p50_ms:.1f} "
                f"times the median of {latency.p50_ms:.3g} ms"
            )
    slowdown = measurement.find_slowdown()
    if slowdown is not None:
        problems.append(f"the machine became {slowdown:.2f} times slower during the measurement, and stayed so")
    return problems


def _list_notes(measurement: Measurement) -> List[str]:
    notes = []
    full_speed = measurement.list_full_speed()
    if full_speed is not None and measurement.misses_full_speed():
        notes.append("the machine was slower than its best known speed in all of the measurement")
    elif full_speed is not None and not all(full_speed):
        notes.append(
            f"the machine was slowed in {100 - 100 * sum(full_speed) / len(full_speed):.0f} % of the measurement"
        )
    for name in measurement.blocks_ns:
        latency = measurement.summarize(name)
        if latency.p50_ms and latency.p99_ms and latency.p99_ms > _TAIL_MAX * latency.p50_ms:
            notes.append(
                f"{name}: one run in a hundred takes {latency.p99_ms:.3g} ms, the median {latency.p50_ms:.3g} ms"
            )
        if not measurement.steady[name]:
            notes.append(f"{name} did not become steady before the measurement")
    if not measurement.is_decided:
        notes.append("the time limit ended the measurement before it had decided")
    return notes
