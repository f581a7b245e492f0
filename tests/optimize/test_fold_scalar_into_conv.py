import pytest

from tests.optimize.conftest import list_operators, parse_model
from toolchain.optimize import fold_scalar_into_conv

GRAPH = """g (float[N, 2, 6, 6] x) => ({outputs})
<float[4, 1, 3, 3] w, float[4] b, float s = {{1.7}}, float[1] t = {{-0.3}}, float[1, 1, 1, 1] u = {{2.5}},
 float[1, 1, 1, 1, 1] deep = {{2}}, float[1, 4, 1, 1] c> {{ {body} }}"""


def make(body, outputs="float[N, 4, 4, 4] y"):
    return parse_model(GRAPH.format(body=body, outputs=outputs))


@pytest.mark.parametrize(
    "body",
    [
        "k = Conv <group = 2> (x, w, b) y = Add (k, s)",
        "k = Conv <group = 2> (x, w, b) y = Mul (t, k)",
        "k = Conv <group = 2> (x, w) y = Add (u, k)",
        "k = Conv <group = 2> (x, w, b) a = Mul (k, s) d = Add (a, t) e = Mul (u, d) y = Add (e, s)",
    ],
)
def test_numbers_after_a_convolution_are_folded(assert_acts, body):
    assert list_operators(assert_acts(fold_scalar_into_conv, make(body))) == ["Conv"]


def test_the_old_weight_is_dropped(assert_acts):
    result = assert_acts(fold_scalar_into_conv, make("k = Conv <group = 2> (x, w, b) y = Mul (k, s)"))
    assert {tensor.name for tensor in result.graph.initializer} == {"y_weight", "y_bias"}


def test_folding_stops_at_the_first_value_that_is_read_elsewhere(assert_acts):
    body = "k = Conv <group = 2> (x, w, b) a = Mul (k, s) y = Add (a, t) z = Relu (a)"
    result = assert_acts(fold_scalar_into_conv, make(body, "float[N, 4, 4, 4] y, float[N, 4, 4, 4] z"))
    assert list_operators(result) == ["Conv", "Add", "Relu"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("k = Conv <group = 2> (x, w, b) y = Add (k, c)", id="a constant per channel"),
        pytest.param("k = Conv <group = 2> (x, w, b) y = Add (k, k)", id="the value itself"),
        pytest.param("k = Conv <group = 2> (x, w, b) y = Div (s, k)", id="another operator"),
        pytest.param("k = Relu (x) y = Mul (k, s)", id="no convolution"),
        pytest.param("k = Conv <group = 2> (x, w, b) r = Relu (k) y = Mul (r, s)", id="an activation between"),
        pytest.param("v = Abs (w) k = Conv <group = 2> (x, v, b) y = Mul (k, s)", id="a computed weight"),
        pytest.param("v = Abs (s) k = Conv <group = 2> (x, w, b) y = Mul (k, v)", id="a computed number"),
        pytest.param("k = Conv <group = 2> (x, w, b) y = Mul (k, deep)", id="a constant that adds an axis"),
    ],
)
def test_anything_else_is_left_alone(assert_idle, body):
    assert_idle(
        fold_scalar_into_conv, make(body, "float[1, N, 4, 4, 4] y" if "deep" in body else "float[A, B, C, D] y")
    )


def test_a_convolution_whose_value_is_an_output_is_left_alone(assert_idle):
    body = "k = Conv <group = 2> (x, w, b) y = Mul (k, s)"
    assert_idle(fold_scalar_into_conv, make(body, "float[N, 4, 4, 4] y, float[N, 4, 4, 4] k"))


def test_a_value_that_a_subgraph_captures_is_left_alone(assert_idle):
    body = """k = Conv <group = 2> (x, w, b) y = Mul (k, s) f = Cast <to = 9> (s)
    z = If (f) <then_branch = p () => (float[N, 4, 4, 4] a) { a = Neg (k) },
                else_branch = q () => (float[N, 4, 4, 4] e) { e = Abs (k) }>"""
    body = body.replace("{", "{").replace("}", "}")
    assert_idle(fold_scalar_into_conv, make(body, "float[N, 4, 4, 4] y, float[N, 4, 4, 4] z"))


def test_a_weight_that_another_convolution_reads_is_left_alone(assert_idle):
    assert_idle(
        fold_scalar_into_conv,
        parse_model(
            "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y, float[N, 4, 6, 6] z) "
            "<float[4, 3, 3, 3] w, float s = {2.0}> { c = Conv (x, w) y = Mul (c, s) z = Conv (x, w) }"
        ),
    )
