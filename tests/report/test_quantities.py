from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.measure.quantities import write_sqnr
from toolchain.report import quantities


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (101_873, "102 kB"), (999_499, "999 kB"), (999_500, "1.00 MB")],
)
def test_a_size_is_written_with_three_digits_in_decimal_units(size_bytes, text):
    assert quantities.write_size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0931, "0.0931"), (0.931, "0.931"), (2.0649, "2.06"), (99.97, "100"), (1042.4, "1042")],
)
def test_a_number_is_written_with_three_digits_and_no_exponent(value, text):
    assert quantities.write_digits(value) == text


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_a_number_is_written_within_half_a_per_cent_of_itself(value):
    assert float(quantities.write_digits(value)) == pytest.approx(value, rel=5.1e-3)


@pytest.mark.parametrize(
    ("difference", "unit", "text"),
    [
        (-0.001, "fraction", "−0.10 points"),
        (0.0005, "fraction", "+0.05 points"),
        (0.0, "fraction", "0.00 points"),
        (-0.00001, "fraction", "0.00 points"),
        (0.25, "px", "+0.250 px"),
        (-3.2, "", "−3.20"),
        (0.0, "px", "0 px"),
    ],
)
def test_a_change_has_a_sign_unless_it_rounds_to_nothing(difference, unit, text):
    assert quantities.write_change(difference, unit) == text


def test_a_larger_artifact_is_not_called_smaller():
    assert "larger" in quantities.write_size_change(100, 110)
    assert "smaller" in quantities.write_size_change(110, 100)
    assert quantities.write_size_change(1000, 1001) == "the same size"


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [(0.04, "0.04 s"), (12.34, "12.3 s"), (59.99, "60.0 s"), (185, "3 min 05 s"), (7260, "2 h 01 min")],
)
def test_a_duration_is_written_in_the_unit_that_fits(duration_s, text):
    assert quantities.write_duration(duration_s) == text


def test_an_output_of_nan_only_is_not_called_exact():
    assert write_sqnr(None, 0.0, nonfinite=10) == quantities.ABSENT
    assert write_sqnr(None, 0.0, nonfinite=0) == "exact"


@pytest.mark.parametrize(
    ("sqnr_db", "least_db", "text"),
    [
        (29.44, 20.0, "29.4 dB"),
        (19.97, 20.0, "19.97 dB"),  # "20.0 dB is under 20 dB" would contradict itself
        (19.9996, 20.0, "19.999600 dB"),
        (19.99999999, 20.0, "19.99999999 dB"),
        (20.0, 20.0, "20.0 dB"),
        (19.97, None, "20.0 dB"),
    ],
)
def test_an_sqnr_under_its_gate_is_written_as_one(sqnr_db, least_db, text):
    assert write_sqnr(sqnr_db, 1.0, 0, least_db) == text
