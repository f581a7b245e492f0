import pytest

from benchmarks.noise import count_sharing


@pytest.mark.parametrize(
    ("intervals", "sharing"),
    [
        ([], 0),
        ([(1.0, 1.2)], 1),
        ([(1.0, 1.2), (1.1, 1.3), (1.2, 1.4)], 3),
        ([(1.07, 1.09), (1.33, 1.36), (1.05, 1.4)], 2),
        ([(1.0, 1.1), (1.2, 1.3), (1.4, 1.5)], 1),
    ],
)
def test_intervals_share_the_point_that_lies_in_most_of_them(intervals, sharing):
    assert count_sharing(intervals) == sharing
