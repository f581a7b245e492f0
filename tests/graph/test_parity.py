import numpy as np
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.parity import check_float_parity

VALUES = np.random.default_rng(0).standard_normal(1000).astype(np.float32)


def refuse(code, function, *arguments, **options):
    with pytest.raises(ToolchainError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code
    return caught.value


def compare(reference, deployed, **options):
    return check_float_parity("test", [({"y": np.asarray(reference)}, {"y": np.asarray(deployed)})], **options)


@pytest.mark.parametrize(
    ("dtype", "passing", "failing"), [("float32", 1e-5, 1e-3), ("float64", 1e-5, 1e-3), ("float16", 2e-3, 0.02)]
)
def test_floating_point_outputs_may_differ_by_rounding_only(dtype, passing, failing):
    values = VALUES.astype(dtype)
    compare(values, (values * (1 + passing)).astype(dtype))
    refuse(ExitCode.PARITY, compare, values, (values * (1 + failing)).astype(dtype))


def test_other_outputs_must_be_equal():
    assert compare([1, 2, 3], [1, 2, 3]) == {"y": 200.0}
    assert "equal int64" in refuse(ExitCode.PARITY, compare, [10**6, 2], [10**6, 3]).expected


def test_samples_are_judged_together_and_not_by_their_worst():
    zeros = np.zeros(10, dtype=np.float32)
    pairs = [({"y": VALUES}, {"y": VALUES}), ({"y": zeros}, {"y": zeros + np.float32(1e-6)})]
    assert check_float_parity("test", pairs)["y"] > 110


def test_a_reference_with_a_nan_is_refused_even_where_the_other_has_it_too():
    values = np.stack([VALUES, VALUES])
    values[1, 7] = np.nan
    error = refuse(ExitCode.PARITY, compare, values, values, per_sample=True)
    assert "own output is not a number" in error.what
    assert error.where == "output y, sample 1"


def test_equal_infinities_are_equal_and_hide_no_difference():
    masked, wrong = VALUES.copy(), VALUES * np.float32(1.01)
    masked[:10] = wrong[:10] = -np.inf
    assert compare(masked, masked) == {"y": 200.0}
    assert "40.0 dB" in refuse(ExitCode.PARITY, compare, masked, wrong).found


@pytest.mark.parametrize("other", [0.0, np.inf, np.nan])
def test_an_infinity_that_the_other_side_lacks_is_refused(other):
    masked = VALUES.copy()
    masked[7] = -np.inf
    changed = masked.copy()
    changed[7] = other
    assert "1 NaN or infinite" in refuse(ExitCode.PARITY, compare, masked, changed).found


def test_an_output_that_is_infinite_everywhere_proves_nothing():
    nothing = np.full(3, -np.inf, np.float32)
    assert "infinite everywhere" in refuse(ExitCode.PARITY, compare, nothing, nothing).what


def test_an_output_that_is_nan_where_the_reference_is_not_is_refused():
    deployed = VALUES.copy()
    deployed[7] = np.nan
    assert "1 NaN" in refuse(ExitCode.PARITY, compare, VALUES, deployed).found


def test_a_limit_of_its_own_takes_the_place_of_the_usual_one():
    compare(VALUES, VALUES * np.float32(1.01), sqnr_db_min={"y": 30.0})
    refuse(ExitCode.PARITY, compare, VALUES, VALUES * np.float32(1.01), sqnr_db_min={"other": 30.0})
