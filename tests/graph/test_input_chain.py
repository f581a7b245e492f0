import numpy as np
import pytest

from tests.optimize.conftest import parse_model
from toolchain.graph.input_chain import find_input_chain
from toolchain.graph.view import GraphView

GRAPH = """g ({kind}[N, 2, 4, 4] x) => (float[N, 2, 4, 4] y{more})
<float s = {{0.5}}, float[2, 1, 1] m = {{1, 2}}, float[1, 2, 4, 4] all> {{ {body} }}"""
WHOLE = "a = Cast <to = 1> (x) b = Mul (a, s) c = Add (b, m) y = Relu (c)"


def find(body=WHOLE, *, kind="uint8", more="", tensor="c"):
    return find_input_chain(GraphView.from_model(parse_model(GRAPH.format(kind=kind, body=body, more=more))), tensor)


def test_a_chain_is_calculated_for_each_channel():
    chain = find()
    assert [node.op_type for node in chain.nodes] == ["Cast", "Mul", "Add"]
    found = chain.calculate(np.array([0, 2, 255], np.float32))
    assert [values.tolist() for values in found] == [[1, 2, 128.5], [2, 3, 129.5]]


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (WHOLE, {"kind": "int64"}),
        ("b = Mul (x, s) c = Add (b, m) y = Relu (c)", {"kind": "float"}),
        ("a = Cast <to = 1> (x) b = Mul (a, s) c = Add (b, all) y = Relu (c)", {}),
        ("a = Cast <to = 1> (x) b = Mul (a, a) c = Add (b, m) y = Relu (c)", {}),
        ("a = Cast <to = 1> (x) b = Sigmoid (a) c = Add (b, m) y = Relu (c)", {}),
        (f"{WHOLE} z = Relu (b)", {"more": ", float[N, 2, 4, 4] z"}),
        (f"{WHOLE} z = Cast <to = 1> (x)", {"more": ", float[N, 2, 4, 4] z"}),
    ],
    ids=range(7),
)
def test_what_is_no_chain_of_a_sensor_s_numbers_alone_is_none(body, options):
    assert find(body, **options) is None


def test_the_last_tensor_may_have_several_readers():
    assert find(f"{WHOLE} z = Neg (c)", more=", float[N, 2, 4, 4] z") is not None
