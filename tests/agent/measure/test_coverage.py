"""Whether bounds hold and decisions are right, on series whose truth is known; benchmarks/harness.py does it 1,000 times.

The seeds are fixed: nothing here depends on luck, or on how long anything takes.
"""

import pytest

from benchmarks.harness import KINDS, find_invalid, measure_kind
from benchmarks.simulated_machine import Series

RUNS = 12


@pytest.mark.parametrize("kind", ["independent", "autocorrelated, 5 ms", "drifting", "slow wave", "heavy tails"])
def test_intervals_hold_and_five_percent_is_found(kind):
    tally = measure_kind(KINDS[kind], RUNS)
    assert (tally.ratio_coverage, tally.p90_coverage, tally.aa_alarms, tally.found) == (1.0, 1.0, 0.0, 1.0)


@pytest.mark.parametrize("kind", ["two speeds, 100 ms", "two speeds, 1 s", "two speeds, 10 s"])
def test_the_ratio_at_each_speed_that_was_seen_is_in_the_interval(kind):
    tally = measure_kind(KINDS[kind], RUNS)
    assert (tally.ratio_coverage, tally.aa_alarms, tally.speeds_coverage) == (1.0, 0.0, 1.0)


def test_what_wanders_too_slowly_to_tell_is_undecided_and_not_guessed():
    tally = measure_kind(KINDS["autocorrelated, 200 ms"], 6)
    assert (tally.ratio_coverage, tally.aa_alarms) == (1.0, 0.0)
    assert tally.found + tally.undecided == 1.0
    assert tally.undecided > 0


def test_an_interval_that_counts_blocks_as_independent_would_not_hold(monkeypatch):
    """The control: without the stretch, a series that wanders decides what it cannot know."""
    series = Series(wander=0.05, memory_s=1.0)
    honest = measure_kind(series, 6)
    monkeypatch.setattr("toolchain.agent.measure.episodes.wanders", lambda _: False)
    naive = measure_kind(series, 6)
    assert naive.ratio_coverage < honest.ratio_coverage


def test_a_board_that_throttles_is_found_and_a_quiet_one_is_not():
    assert find_invalid(Series(drift=0.3), 4) == 1.0
    assert find_invalid(Series(step_s=0.6), 4) == 1.0
    assert find_invalid(Series(), 4) == 0.0
