import numpy as np
import pytest

from toolchain.agent.measure.tallies.ranking import rank_samples


def test_equal_scores_share_one_threshold():
    ranking = rank_samples(np.array([1.0, 3.0, 1.0, 2.0]), np.array([True, False, False, True]))
    positives, negatives = ranking.accumulate(np.ones(4))
    assert (positives.tolist(), negatives.tolist()) == ([0, 1, 2], [1, 1, 2])


def test_weights_are_those_of_their_samples():
    ranking = rank_samples(np.array([1.0, 3.0]), np.array([True, False]))
    positives, negatives = ranking.accumulate(np.array([5.0, 7.0]))
    assert (positives.tolist(), negatives.tolist()) == ([0, 5], [7, 7])


@pytest.mark.parametrize(("place", "first"), [(0, 1), (1, 1)])
def test_a_nan_is_last_where_positive_and_first_where_not(place, first):
    scores = np.array([0.5, 0.1])
    scores[place] = np.nan
    ranking = rank_samples(scores, np.array([True, False]))
    assert ranking.order[0] == first
