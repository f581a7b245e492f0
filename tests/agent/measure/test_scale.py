import math

import pytest

from toolchain.agent.measure.quantities import write_difference, write_value
from toolchain.agent.measure.scale import FRACTION, Scale

ERROR_PX = Scale(unit="px", worst=math.inf, best=0.0)


def test_a_drop_is_above_0_where_it_got_worse_whatever_the_direction():
    assert FRACTION.measure_drop(0.75, 0.5) == 0.25
    assert ERROR_PX.measure_drop(3.0, 3.5) == 0.5
    assert (FRACTION.direction, ERROR_PX.direction) == ("higher", "lower")


@pytest.mark.parametrize(
    ("scale", "value", "expected"),
    [
        (FRACTION, 1.0, True),
        (FRACTION, 1.1, False),
        (FRACTION, math.nan, False),
        (ERROR_PX, 9e9, True),
        (ERROR_PX, -1, False),
    ],
)
def test_values_outside_of_the_scale_are_none(scale, value, expected):
    assert scale.contains(value) is expected


def test_the_default_limit_is_points_of_a_fraction_and_a_share_of_the_reference_elsewhere():
    assert FRACTION.choose_drop_max(None, 0.01, 0.5) == 0.01
    assert ERROR_PX.choose_drop_max(None, 0.01, 50.0) == 0.5
    assert ERROR_PX.choose_drop_max(0.25, 0.01, 50.0) == 0.25


def test_numbers_are_written_in_their_unit():
    assert (write_value(0.9231, "fraction"), write_difference(0.001, "fraction")) == ("92.31 %", "0.10 points")
    assert (write_value(3.2, "px"), write_difference(0.25, "px")) == ("3.20 px", "0.250 px")
    assert write_value(3.2, "") == "3.20"
    assert write_difference(-0.25, "px") == "-0.250 px"
