import numpy as np
import pytest

from tests.lower.conftest import parse_model
from toolchain.graph.view import GraphView
from toolchain.lower.techniques.stored_weight import read_weight

STORED = """
<ir_version: 10, opset_import: ["": 21]>
net (float[1] x) => (float[2, 3] y, float[3, 2] t, float[2, 3] z)
<int8[2, 3] q = {1, 2, 3, -4, 5, 6}, float[2] s = {0.5, 2.0}, int8[2] zero = {0, 0}, float one = {3.0}>
{ y = DequantizeLinear<axis = 0>(q, s, zero) t = Transpose(y) z = Mul(y, x) }
"""


def test_a_weight_is_read_from_its_integers_through_a_transposition_too():
    view = GraphView.from_model(parse_model(STORED))
    expected = np.array([[0.5, 1.0, 1.5], [-8.0, 10.0, 12.0]], np.float32)
    np.testing.assert_array_equal(read_weight(view, "y"), expected)
    np.testing.assert_array_equal(read_weight(view, "t"), expected.T)
    np.testing.assert_array_equal(read_weight(view, "s"), [0.5, 2.0])


@pytest.mark.parametrize("name", ["z", "x"])
def test_what_is_computed_from_an_input_is_no_weight(name):
    with pytest.raises(KeyError):
        read_weight(GraphView.from_model(parse_model(STORED)), name)
