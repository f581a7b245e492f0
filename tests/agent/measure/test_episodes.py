import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.measure.episodes import find_interval, find_slowdown, split_episodes


@given(length=st.integers(11, 400))
def test_episodes_are_the_whole_series_in_its_order_and_nearly_equal(length):
    episodes = split_episodes(range(length))
    assert [value for episode in episodes for value in episode] == list(range(length))
    assert len(episodes) == 11
    assert max(map(len, episodes)) - min(map(len, episodes)) <= 1


def test_fewer_than_eleven_values_have_no_interval():
    assert find_interval([1.0] * 10) is None
    assert find_interval([1.0] * 11) == (1.0, 1.0)


def test_the_interval_is_from_the_lowest_to_the_highest_episode():
    series = [value for level in (5, 1, 7, 2, 9, 3, 8, 2, 6, 4, 5) for value in (level, level, 100)]
    assert find_interval(series) == (1, 9)


def test_an_interval_of_independent_values_misses_their_median_in_one_of_a_thousand():
    rng = random.Random(1)
    intervals = [find_interval([rng.lognormvariate(0.0, 1.0) for _ in range(33)]) for _ in range(2000)]
    assert sum(not low <= 1.0 <= high for low, high in intervals) <= 8


def test_a_series_that_wanders_more_slowly_than_it_is_long_has_a_wider_interval():
    rng = random.Random(2)
    values = [rng.random() for _ in range(44)]
    low, high = find_interval(sorted(values))
    assert low < min(values)
    assert high > max(values)
    low, high = find_interval(values)
    assert min(values) < low < high < max(values)


@pytest.mark.parametrize(
    ("series", "slowdown"),
    [
        ([1.0] * 55, None),
        ([1.0] * 25 + [1.3] * 30, 1.3),
        ([1.0] * 25 + [1.05] * 30, None),  # as much as any machine wanders
        ([1.3] * 25 + [1.0] * 30, None),  # faster
        ([1.0] * 12 + [1.3] * 43, 1.3),
        ([1.3] * 12 + [1.0] * 20 + [1.3] * 23, None),  # it came before, and went
        ([1.0] * 30 + [1.3] * 10 + [1.0] * 15, None),
        ([1.0, 2.0] * 10 + [1.3] * 35, None),  # it was not as even before
        ([1.0] * 5, None),
    ],
)
def test_a_slowdown_is_what_comes_and_does_not_go(series, slowdown):
    assert find_slowdown(series) == (None if slowdown is None else pytest.approx(slowdown))
