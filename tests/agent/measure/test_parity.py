import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.parity import Parity, compare
from toolchain.agent.measure.sqnr import Powers, measure_powers, to_db

arrays = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 40), st.integers(1, 7)), elements=st.floats(-1e6, 1e6, width=32)
)


def compare_one(reference, deployed):
    return compare({"y": np.asarray(reference)}, {"y": np.asarray(deployed)})[0]


def draw(seed, shape=(50, 10), dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def test_equal_outputs_have_the_sqnr_that_stands_for_infinite():
    parity = compare_one(draw(1), draw(1))
    assert asdict(parity) == {
        "output": "y",
        "max_abs": 0.0,
        "p99_abs": 0.0,
        "cosine": 1.0,
        "sqnr_db": 200.0,
        "nonfinite": 0,
    }


def test_it_says_what_the_formulas_say():
    reference = draw(1, dtype=np.float64)
    deployed = reference + 0.01 * draw(2, dtype=np.float64)
    error = deployed - reference
    parity = compare_one(reference, deployed)
    assert parity.max_abs == pytest.approx(np.abs(error).max())
    assert parity.sqnr_db == pytest.approx(10 * math.log10((reference**2).sum() / (error**2).sum()))
    norms = np.linalg.norm(reference) * np.linalg.norm(deployed)
    assert parity.cosine == pytest.approx((reference * deployed).sum() / norms)


@given(reference=arrays, seed=st.integers(0, 100), scale=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e9]))
def test_p99_is_at_most_half_a_percent_above_the_true_quantile(reference, seed, scale):
    deployed = (reference + scale * draw(seed, reference.shape)).astype(np.float32)
    error = np.sort(np.abs(deployed.astype(np.float64) - reference).reshape(-1))
    true = error[math.ceil(0.99 * error.size) - 1]
    parity = compare_one(reference, deployed)
    assert true <= parity.p99_abs * (1 + 1e-6) + 1e-38
    assert parity.p99_abs <= true * 1.005 + 1e-38
    assert parity.p99_abs <= parity.max_abs


@given(reference=arrays, seed=st.integers(0, 100), cut=st.floats(0, 1))
def test_batches_cut_in_any_way_say_the_same_as_the_whole(reference, seed, cut):
    deployed = reference + draw(seed, reference.shape)
    middle = round(cut * len(reference))
    parity = Parity()
    parity.add({"y": reference[:middle]}, {"y": deployed[:middle]})
    parity.add({"y": reference[middle:]}, {"y": deployed[middle:]})
    added, whole = parity.summarize()[0], compare_one(reference, deployed)
    assert (added.max_abs, added.p99_abs, added.nonfinite) == (whole.max_abs, whole.p99_abs, whole.nonfinite)
    assert added.sqnr_db == pytest.approx(whole.sqnr_db, abs=1e-6)
    assert added.cosine == pytest.approx(whole.cosine, abs=1e-9)


def test_an_output_larger_than_one_step_is_compared_to_its_end():
    reference = np.zeros((1, 600_000), dtype=np.float32)
    deployed = reference.copy()
    deployed[0, -1] = 3.0
    parity = compare_one(reference, deployed)
    assert parity.max_abs == 3.0
    assert parity.p99_abs == 0.0


def test_nothing_against_something_is_as_bad_as_it_gets():
    parity = compare_one(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32))
    assert (parity.sqnr_db, parity.cosine) == (-200.0, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_counted(value):
    deployed = draw(1)
    deployed[3, 3] = value
    assert compare_one(draw(1), deployed).nonfinite == 1


def test_nan_is_counted_even_where_the_reference_has_it_too():
    both = np.array([[np.nan, 1.0]], dtype=np.float32)
    assert compare_one(both, both).nonfinite == 1


def test_the_infinity_that_the_reference_has_too_is_equal():
    both = np.array([[-np.inf, 1.0]], dtype=np.float32)
    parity = compare_one(both, both)
    assert (parity.nonfinite, parity.sqnr_db) == (0, 200.0)
    assert compare_one(both, -both).nonfinite == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.uint8, np.bool_])
def test_every_type_of_output_can_be_compared(dtype):
    reference = np.array([[0, 1, 1]]).astype(dtype)
    assert compare_one(reference, reference).sqnr_db == 200.0
    assert compare_one(reference, np.array([[1, 1, 1]]).astype(dtype)).max_abs == 1.0


@pytest.mark.filterwarnings("error")
def test_numbers_at_the_end_of_float64_stay_json():
    parity = compare_one(np.array([[1e308, 1.0]]), np.array([[-1e308, 1.0]]))
    json.dumps(asdict(parity), allow_nan=False)
    assert parity.sqnr_db == -200.0


@pytest.mark.parametrize(
    ("deployed", "what"),
    [
        ({}, "missing"),
        ({"Y": draw(1)}, "missing"),
        ({"y": draw(1), "z": draw(1)}, "extra"),
        ({"y": draw(1, dtype=np.float64)}, "dtype"),
        ({"y": draw(1).reshape(10, 50)}, "shape"),
        ({"y": draw(1)[:, :9]}, "shape"),
    ],
    ids=["missing", "renamed", "extra", "dtype", "transposed", "narrower"],
)
def test_outputs_that_are_not_the_same_outputs_are_refused(deployed, what):
    with pytest.raises(ToolchainError, match=what) as caught:
        compare({"y": draw(1)}, deployed)
    assert caught.value.code == ExitCode.PARITY


def test_equal_infinities_are_equal_and_the_rest_is_measured():
    reference, deployed = draw(1), draw(1) + np.float32(0.1) * draw(2)
    plain = compare_one(reference[:, 1:], deployed[:, 1:])
    for fill in (-math.inf, math.inf, np.finfo(np.float32).min):
        reference[:, 0] = deployed[:, 0] = fill
        assert compare_one(reference, deployed) == plain


@pytest.mark.parametrize(
    ("reference", "deployed"),
    [(-math.inf, 0.0), (0.0, -math.inf), (math.inf, -math.inf), (math.nan, math.nan), (math.nan, 0.0)],
)
def test_a_place_without_a_match_is_a_failure_however_good_the_rest(reference, deployed):
    first, second = draw(1), draw(1)
    first[3, 4], second[3, 4] = reference, deployed
    found = compare_one(first, second)
    assert (found.nonfinite, found.sqnr_db) == (1, -200.0)
    assert measure_powers(first, second) == Powers(
        signal=pytest.approx(float(np.square(draw(1), dtype=np.float64).sum()), rel=0.1), noise=math.inf, mismatches=1
    )


def test_a_ratio_is_200_only_without_noise():
    assert to_db(1.0, 0.0) == to_db(0.0, 0.0) == 200.0
    assert to_db(math.inf, math.inf) == to_db(0.0, 1.0) == to_db(1.0, math.inf) == to_db(1.0, math.nan) == -200.0
    assert to_db(np.array([100.0, 1.0]), np.array([1.0, 1.0])).tolist() == [20.0, 0.0]
