import numpy as np
import pytest

from tests.optimize.conftest import list_operators, parse_model
from toolchain.graph.session import HostSession
from toolchain.lower.affine import affine_parameters
from toolchain.lower.sensor_bytes import feed_bytes, find_byte_ranges

GRAPH = """g ({kind}[N, 4, 4, 2] x) => (float[N, 2, 4, 4] y)
<float m = {{{shift}}}, float f = {{{factor}}}, float[2, 1, 1] each = {{{each}}}, float s = {{{scale}}}, {zero} z = {{{point}}}>
{{ a = Cast <to = 1> (x) t = Transpose <perm = [0, 3, 1, 2]> (a) b = Mul (t, f) c = Add (b, m) e = Add (c, each)
   q = QuantizeLinear (e, s, z) y = DequantizeLinear (q, s, z) }}"""
ALL = np.arange(256, dtype=np.uint8).repeat(2).reshape(16, 4, 4, 2)


def make(*, shift=-0.81, factor=0.0111, each="0, 0", scale=None, zero="uint8", point=None, kind="uint8"):
    """Return a graph with a pair whose scale and zero point are those of the whole range, where they are not given."""
    text = {"shift": shift, "factor": factor, "each": each, "zero": zero, "kind": kind}
    ranges = find_byte_ranges(parse_model(GRAPH.format(**text, scale=1.0, point=0)), ["e"])
    if "e" in ranges:
        parameters = affine_parameters(ranges["e"], "uint8", symmetric=False)
        scale = float(parameters.scale) if scale is None else scale
        point = parameters.zero_point if point is None else point
    return parse_model(GRAPH.format(**text, scale=f"{scale or 1.0:.9g}", point=point or 0))


@pytest.mark.parametrize(("shift", "factor"), [(-0.81, 0.0111), (0.0, 1.0), (-72.93, 1.0)])
def test_bytes_that_are_the_integers_already_are_fed_as_they_are_and_every_bit_stays(shift, factor):
    model = make(shift=shift, factor=factor)
    fed = feed_bytes(model)
    assert list_operators(fed) == ["Transpose", "DequantizeLinear"]
    before, after = (HostSession(each).run({"x": ALL})["y"] for each in (model, fed))
    assert (before == after).all()


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.02},
        {"shift": 0.3, "factor": 0.004},  # zero has to be among the values, and is none of theirs
        {"shift": -2.0, "factor": 1 / 63.75},  # a mean of 127.5, in the middle between two bytes
        {"point": 12},
        {"each": "0, 0.2"},
        {"factor": -0.0111},
        {"zero": "int8", "point": 0},
        {"kind": "uint16"},
    ],
    ids=str,
)
def test_where_a_byte_becomes_another_integer_the_calculation_stays(change):
    model = make(**change)
    assert feed_bytes(model) is model


def test_the_range_is_that_of_all_bytes_and_of_all_channels():
    found = find_byte_ranges(make(each="0, 0.5"), ["e", "y", "x"])
    assert found.keys() == {"e"}
    assert np.allclose([found["e"].low, found["e"].high], [-0.81, 255 * 0.0111 - 0.81 + 0.5])


def test_other_whole_numbers_have_no_range_of_their_own():
    assert find_byte_ranges(make(kind="uint16"), ["e"]) == {}
