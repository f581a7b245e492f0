from hypothesis import given
from hypothesis import strategies as st

from toolchain.search.front import find_front

POINTS = st.integers(1, 3).flatmap(
    lambda axes: st.lists(st.tuples(*[st.integers(0, 4).map(float)] * axes), max_size=25)
)


def is_beaten(point, points):
    """By the definition: another one is nowhere worse, and somewhere better."""
    pairs = [list(zip(other, point, strict=True)) for other in points]
    return any(all(a <= b for a, b in pair) and any(a < b for a, b in pair) for pair in pairs)


@given(POINTS)
def test_the_front_is_what_no_other_point_beats(points):
    assert find_front(points) == [index for index, point in enumerate(points) if not is_beaten(point, points)]


def test_equal_points_all_stay():
    assert find_front([(1.0, 2.0), (1.0, 2.0), (2.0, 2.0)]) == [0, 1]
