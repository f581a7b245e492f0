import numpy as np

from tests.lower.conftest import parse_model
from tests.lower.smoothing.conftest import HEAD
from toolchain.lower.smoothing.channels import observe_channels

MODEL = HEAD + "g (float[n, s, 4] x) => (float[n, s, 4] y) <float[4] shift> { [move] y = Add(x, shift) }"


def observe(arrays):
    return observe_channels(parse_model(MODEL), ["x"], [{"x": array} for array in arrays])


def test_bounds_are_those_of_all_rows_and_the_rows_with_the_largest_numbers_are_among_those_kept():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(1, 200, 4)).astype(np.float32) for _ in range(2)]
    arrays[1][0, 150, 2] = -99.0
    found = observe(arrays)["x"]
    np.testing.assert_array_equal(found.lows, [array.min(axis=(0, 1)) for array in arrays])
    np.testing.assert_array_equal(found.highs, [array.max(axis=(0, 1)) for array in arrays])
    assert [rows.shape for rows in found.rows] == [(32, 4)] * 2
    assert found.rows[1].min() == -99.0


def test_a_tensor_with_an_infinity_or_a_nan_is_left_out():
    for value in (-np.inf, np.nan):
        arrays = [np.ones((1, 3, 4), np.float32) for _ in range(3)]
        arrays[2][0, 1, 1] = value
        assert observe(arrays) == {}


def test_samples_without_rows_do_not_count():
    arrays = [np.ones((1, 0, 4), np.float32), np.ones((1, 3, 4), np.float32)]
    assert observe(arrays) == {}
    assert len(observe([*arrays, arrays[1]])["x"].rows) == 2


def test_the_halves_share_no_sample():
    arrays = [np.full((1, 2, 4), number, np.float32) for number in range(5)]
    first, second = observe(arrays)["x"].split()
    assert (first.highs[:, 0].tolist(), second.highs[:, 0].tolist()) == ([0, 1], [2, 3, 4])
