"""Whether what a board says of its latencies is what its samples say: quantiles and speedups are derived here again.

The samples are those of the fastest reference and of every candidate. Of the references that are neither there are none: that
they are slower is what the board says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.episodes import EPISODES, find_interval
from toolchain.agent.measure.latency import SESSION_LUCK
from toolchain.agent.measure.quantiles import Latency, Ratio, summarize_latency
from toolchain.agent.measure.record import Record
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.deploy.words import contradict

_ROUNDING = 1e-9
# A measurement that ended without the samples that were asked for has used its time: the last look may come a little
# before the clock that is read around it says so.
_SPENT_MIN = 0.9
# A round takes 10 ms of each payload: a measurement of an hour has fewer.
_ROUNDS_MAX = 200_000

_Series = NDArray[np.float64]


def check_series(
    samples_ms: Mapping[str, Sequence[float]], record: Record, manifest: Manifest, settings: MeasureSettings | None
) -> None:
    """Refuse (exit 20) latencies and ratios that are not those of the samples, and fewer samples than were asked for."""
    expected = [] if manifest.emulated else ["reference", *record.names]
    if sorted(samples_ms) != sorted(expected):
        raise contradict("samples_ms", ", ".join(expected) or "none", ", ".join(sorted(samples_ms)) or "none")
    if not expected:
        return
    series = {name: np.asarray(values, dtype=np.float64) for name, values in samples_ms.items()}
    _check_latency("reference", samples_ms["reference"], record.reference.latency)
    named = dict(zip(record.names, record.candidates, strict=True))
    for name, candidate in named.items():
        _check_latency(name, samples_ms[name], candidate.latency)
    for reference in record.references:
        same = next((name for name, item in named.items() if item.opening == reference.opening), None)
        if same is not None:
            _check_latency(f"reference {reference.payload.path}", samples_ms[same], reference.latency)
    _check_time(series, record, settings)
    openings = {"reference": record.reference.opening, **{name: item.opening for name, item in named.items()}}
    for name, candidate in named.items():
        for slower, ratio in {"reference": candidate.over_reference, **candidate.over_later}.items():
            _check_ratio(name, slower, ratio, series, is_same=openings[name] == openings[slower])


def _check_latency(name: str, samples_ms: Sequence[float], told: Latency) -> None:
    own = asdict(summarize_latency(samples_ms, steady=told.steady))
    for key, value in asdict(told).items():
        if not _is_same(own[key], value):
            raise contradict(f"{name}: {key}", f"{own[key]}, of {len(samples_ms)} samples", str(value))


def _check_time(series: Mapping[str, _Series], record: Record, settings: MeasureSettings | None) -> None:
    lowest_ms = min(float(values.min()) if len(values) else 0.0 for values in series.values())
    if lowest_ms <= 0 and not record.validity.problems:
        raise contradict("validity", f"a problem: a run took {lowest_ms:g} ms", "no problem")
    before, after = (item.counters.get("monotonic_ns") for item in record.conditions)
    if before is None or after is None or record.validity.problems:  # a clock that does not go is one of them
        return
    spent_ms, measured_ms = (after - before) / 1e6, sum(float(values.sum()) for values in _list_once(series, record))
    if measured_ms > spent_ms:
        raise contradict("samples_ms", f"at most {spent_ms:g} ms, which passed meanwhile", f"{measured_ms:g} ms")
    fewest = min(len(values) for values in series.values())
    if settings and fewest < settings.latency_samples and spent_ms < _SPENT_MIN * 1000 * settings.latency_limit_s:
        expected = f"{settings.latency_samples} samples, or {settings.latency_limit_s:g} s of measuring"
        raise contradict("samples_ms", expected, f"{fewest} in {spent_ms / 1000:.3g} s")


def _list_once(series: Mapping[str, _Series], record: Record) -> Sequence[_Series]:
    # What is opened alike in two roles is one payload, measured once.
    own = (item.opening for item in record.candidates)
    openings = {"reference": record.reference.opening, **dict(zip(record.names, own, strict=True))}
    return list({openings[name]: values for name, values in series.items()}.values())


def _check_ratio(name: str, slower: str, told: Ratio, series: Mapping[str, _Series], *, is_same: bool) -> None:
    where = f"{name} over {slower}"
    if is_same:
        if (told.ratio, told.low, told.high) != (1.0, 1.0, 1.0):
            raise contradict(where, "1, as they are one file", f"{told.ratio}, {told.low} to {told.high}")
        return
    numerators, denominators = series[slower], series[name]
    if told.ratio is None or told.low is None or told.high is None:
        # At least 11 rounds are made of any payload; only where the clock stood still has a ratio no interval.
        if denominators.min() > 0:
            raise contradict(where, "a ratio with its interval", f"{told.ratio}, {told.low} to {told.high}")
        return
    if not told.low <= told.ratio <= told.high:
        raise contradict(where, "a ratio in its interval", f"{told.ratio}, {told.low} to {told.high}")
    if not _is_of_rounds(told, numerators, denominators):
        own = float(np.median(numerators) / np.median(denominators))
        raise contradict(
            where, f"a ratio of about {own:.3g}, as the samples have it", f"{told.ratio}, {told.low} to {told.high}"
        )


def _is_of_rounds(told: Ratio, numerators: _Series, denominators: _Series) -> bool:
    """Return whether a ratio is that of the blocks of rounds, whose number is not told: it divides both counts."""
    common = math.gcd(len(numerators), len(denominators))
    for rounds in range(EPISODES, min(common, _ROUNDS_MAX) + 1):
        if common % rounds:
            continue
        ratios = _find_medians(numerators, rounds) / _find_medians(denominators, rounds)
        if _is_same(float(np.median(ratios)), told.ratio) and _is_interval(told, ratios):
            return True
    return False


def _find_medians(series: _Series, rounds: int) -> _Series:
    medians: _Series = np.median(series.reshape(rounds, -1), axis=1)
    return medians


def _is_interval(told: Ratio, ratios: _Series) -> bool:
    if told.low is None or told.high is None:
        return False
    if told.full_speed is None and told.slowed is None:
        low, high = find_interval(ratios.tolist()) or (math.nan, math.nan)
        return _is_same(low / (1 + SESSION_LUCK), told.low) and _is_same(high * (1 + SESSION_LUCK), told.high)
    # Of two speeds: which round was at which is not told. Each kind has a median among the ratios, in the interval.
    medians = [value for value in (told.full_speed, told.slowed) if value is not None]
    low, high = max(told.low, float(ratios.min())), min(told.high, float(ratios.max()))
    is_in = all(_is_between(low, value, high) for value in medians)
    return len(medians) == 2 and is_in and _is_between(min(medians), float(np.median(ratios)), max(medians))


def _is_between(low: float, value: float, high: float) -> bool:
    """Return whether a value lies between two, but for the rounding of those that the board derived from nanoseconds."""
    return _is_same(min(max(low, value), high), value)


def _is_same(own: float | None, told: float | None) -> bool:
    if own is None or told is None or isinstance(told, bool):
        return own == told
    return math.isclose(own, told, rel_tol=_ROUNDING)
