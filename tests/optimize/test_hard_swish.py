import pytest

from tests.optimize.conftest import list_operators, parse_model
from toolchain.optimize import hard_swish

GRAPH = """g (float[N, 4, 5, 5] x) => ({outputs}) <float three = {{3}}, float[1] low = {{0}}, float high = {{6}}, float six = {{6}}, float sixth = {{0.16666667}}, float[1, 1, 1, 1, 1] deep = {{3}}>
{{ r = Neg (x) {body} }}"""
BODY = "a = Add (r, three) l = Clip (a, low, high) m = Mul (r, l) y = Div (m, six)"


def make(body=BODY, outputs="float[N, 4, 5, 5] y", opset=21):
    model = parse_model(GRAPH.format(body=body, outputs=outputs), opset)
    clips = [node for node in model.graph.node if node.op_type == "Clip"]
    for tensor in model.graph.initializer:
        if tensor.name == "low":
            del tensor.dims[:]  # Clip takes scalars
    assert len(clips) <= 1
    return model


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        "a = Add (three, r) l = Clip (a, low, high) m = Mul (l, r) y = Mul (sixth, m)",
        "a = Add (r, three) l = Clip (a, low, high) m = Mul (l, r) y = Mul (m, sixth)",
    ],
)
def test_the_four_nodes_become_one(assert_acts, body):
    assert list_operators(assert_acts(hard_swish, make(body))) == ["Neg", "HardSwish"]


def test_the_name_of_the_last_node_stays(assert_acts):
    model = make(BODY.replace("y = Div", "[activation] y = Div"))
    assert assert_acts(hard_swish, model).graph.node[1].name == "activation"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BODY.replace("three", "six"), id="another shift"),
        pytest.param(BODY.replace("high", "three"), id="another limit"),
        pytest.param(BODY.replace("(m, six)", "(m, three)"), id="another divisor"),
        pytest.param(BODY.replace("(m, six)", "(six, m)"), id="divided the other way"),
        pytest.param(BODY.replace("(r, l)", "(x, l)"), id="another factor"),
        pytest.param(BODY.replace("(r, l)", "(l, l)"), id="squared"),
        pytest.param(BODY.replace("(a, low, high)", "(a, low)"), id="no upper limit"),
        pytest.param(BODY.replace("three", "deep"), id="a constant that adds an axis"),
        pytest.param("t = Identity (three) " + BODY.replace("three", "t"), id="a computed constant"),
    ],
)
def test_arithmetic_that_is_no_hard_swish_is_left_alone(assert_idle, body):
    model = make(body, outputs="float[A, B, C, D] y" if "deep" not in body else "float[1, N, 4, 5, 5] y")
    assert_idle(hard_swish, model)


@pytest.mark.parametrize("inner", ["a", "l", "m"])
def test_an_inner_value_that_is_read_elsewhere_keeps_the_nodes(assert_idle, inner):
    assert_idle(hard_swish, make(outputs=f"float[N, 4, 5, 5] y, float[N, 4, 5, 5] {inner}"))
    assert_idle(hard_swish, make(BODY + f" z = Abs ({inner})", outputs="float[N, 4, 5, 5] y, float[N, 4, 5, 5] z"))


def test_an_opset_without_the_operator_is_left_alone(assert_idle):
    assert_idle(hard_swish, make(opset=13))
