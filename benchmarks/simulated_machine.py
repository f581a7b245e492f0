"""A machine on a made clock, for series of latencies whose truth is known: what harness.py and the tests measure.

It has two speeds and noise of several kinds. Nothing here depends on how long anything really takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count, pairwise

import numpy as np

from toolchain.agent.measure.latency import Measurement, measure_latency
from toolchain.agent.measure.machine_speed import ProbeTimes

# The kernels of machine_speed.py: ns at full speed, and how they scatter.
_PROBE_NS = (100_000, 100_000)
_PROBE_NOISE = 0.02
_THROTTLED = 1.4
_CHUNK = 4096


@dataclass(frozen=True)
class Series:
    """How latencies scatter; every part can be left out.

    noise: sigma of a lognormal, independent from run to run. wander and memory_s: sigma of a lognormal that each payload
    has for itself and forgets over memory_s (AR(1) in time). dwell_s: how long the machine stays in one of two speeds in
    the mean (Markov). drift: by how much all payloads together become slower in a second. tail: the share of runs that are
    longer by a Pareto factor of shape 1.5, whose variance is infinite. wave: the amplitude of a common slow sine. step_s:
    when the machine is throttled for good, by 1.4.
    """

    noise: float = 0.03
    wander: float = 0.0
    memory_s: float = 0.0
    dwell_s: float | None = None
    drift: float = 0.0
    tail: float = 0.0
    wave: float = 0.0
    step_s: float = math.inf


@dataclass(frozen=True)
class Payload:
    """Latency at full speed in ms, and how many times longer it takes on the slowed machine."""

    full_ms: float
    slowed: float = 1.0


class SimulatedMachine:
    """Runs payloads on its own clock, and knows how long it was in each speed."""

    def __init__(self, series: Series, seed: int, *, probe_slowed: float = 1.4) -> None:
        self.now_ns = 0.0
        self._series = series
        self._random = np.random.default_rng(seed)
        self._probe_slowed = probe_slowed
        self._switches_ns: list[float] = []
        self._is_slowed = bool(self._random.random() < 0.5) and series.dwell_s is not None
        self._switch_ns = math.inf if series.dwell_s is None else self._draw_dwell()
        self._normals = self._stream(self._random.standard_normal)
        self._uniforms = self._stream(self._random.random)

    def measure(self, payloads: Mapping[str, Payload], **options: object) -> Measurement:
        """Measure as the agent does."""
        runs = {name: self.make_run(payload) for name, payload in payloads.items()}
        return measure_latency(runs, clock=self.read_clock, probe=self.probe, **options)  # type: ignore[arg-type]

    def read_clock(self) -> int:
        return int(self.now_ns)

    def probe(self) -> ProbeTimes:
        slowed = self._probe_slowed if self._advance_state() else 1.0
        times = [time_ns * slowed * math.exp(_PROBE_NOISE * self._normals()) for time_ns in _PROBE_NS]
        times = [time_ns * self._find_common() for time_ns in times]
        self.now_ns += 2 * sum(times)
        return int(times[0]), int(times[1])

    def make_run(self, payload: Payload) -> Callable[[], None]:
        """Return what runs a payload: it lets the clock advance."""
        series, normals, uniforms = self._series, self._normals, self._uniforms
        wander = series.wander * normals()
        last_ns = self.now_ns

        def run() -> None:
            nonlocal wander, last_ns
            exponent = series.noise * normals()
            if series.wander:
                kept = math.exp((last_ns - self.now_ns) / (series.memory_s * 1e9))
                wander = kept * wander + math.sqrt(1.0 - kept * kept) * series.wander * normals()
                last_ns = self.now_ns
                exponent += wander
            time_ns = payload.full_ms * 1e6 * math.exp(exponent) * self._find_common()
            if self._advance_state():
                time_ns *= payload.slowed
            if series.tail and uniforms() < series.tail:
                time_ns *= (1.0 - uniforms()) ** (-1.0 / 1.5)
            self.now_ns += time_ns

        return run

    def _find_common(self) -> float:
        now_s = self.now_ns / 1e9
        throttled = _THROTTLED if now_s >= self._series.step_s else 1.0
        return throttled * (1.0 + self._series.drift * now_s) * (1.0 + self._series.wave * math.sin(now_s / 0.3))

    def find_slowed_share(self) -> float:
        """Return the share of the time until now in which the machine was slowed."""
        times_ns = [0.0, *self._switches_ns, self.now_ns]
        spans_ns = [later - sooner for sooner, later in pairwise(times_ns)]
        # The last span is in the state of now, and they take turns.
        return sum(spans_ns[(-1 if self._is_slowed else -2) :: -2]) / self.now_ns

    def _advance_state(self) -> bool:
        while self.now_ns >= self._switch_ns:
            self._switches_ns.append(self._switch_ns)
            self._is_slowed = not self._is_slowed
            self._switch_ns += self._draw_dwell()
        return self._is_slowed

    def _draw_dwell(self) -> float:
        return float(self._random.exponential((self._series.dwell_s or 0.0) * 1e9))

    def _stream(self, draw: Callable[[int], np.ndarray]) -> Callable[[], float]:
        values = (value for _ in count() for value in draw(_CHUNK).tolist())
        return lambda: next(values)
