import pytest

from tests.optimize.conftest import list_operators, parse_model
from toolchain.optimize import plain_products

WEIGHTS = (
    "<float[8, 6] w, float[6, 8] v, float[6] b, float[1, 6] row, float[1] one, float[5, 6] table, float[5, 1] column>"
)


def make(body, rows="N"):
    return parse_model(f"g (float[{rows}, 8] x, float[8, {rows}] t) => (float[{rows}, 6] y) {WEIGHTS} {{ {body} }}")


@pytest.mark.parametrize(
    ("body", "operators"),
    [
        ("y = Gemm <alpha = 0.5> (x, w, b)", ["Gemm"]),
        ("y = Gemm <alpha = 0.5, beta = 2.0, transB = 1> (x, v, b)", ["Gemm"]),
        ("y = Gemm <beta = 0.0> (x, w, b)", ["Gemm"]),
        ("y = Gemm <transA = 1> (t, w, b)", ["Transpose", "Gemm"]),
        ("y = Gemm <transA = 1, transB = 1> (t, v)", ["Transpose", "Gemm"]),
        ("y = Gemm (x, w, row)", ["Gemm"]),
        ("y = Gemm <alpha = 3.0> (x, w, one)", ["Gemm"]),
    ],
)
def test_a_gemm_of_another_form_becomes_a_plain_one(assert_acts, body, operators):
    result = assert_acts(plain_products, make(body))
    assert list_operators(result) == operators
    gemm = result.graph.node[-1]
    assert {attribute.name for attribute in gemm.attribute} <= {"transB"}
    biases = [tensor for tensor in result.graph.initializer if tensor.name in gemm.input[2:]]
    assert all(list(bias.dims) == [6] for bias in biases)


@pytest.mark.parametrize("bias", ["table", "column"])
def test_a_bias_of_every_row_is_added_behind(assert_acts, bias):
    result = assert_acts(plain_products, make(f"y = Gemm <beta = 0.5> (x, w, {bias})", rows="5"))
    assert list_operators(result) == ["Gemm", "Add"]


def test_a_matrix_in_a_stack_of_one_is_a_matrix(assert_acts):
    model = parse_model("g (float[N, 4, 8] x) => (float[N, 4, 6] y) <float[1, 8, 6] w> { y = MatMul (x, w) }")
    result = assert_acts(plain_products, model)
    assert list(result.graph.initializer[0].dims) == [8, 6]


@pytest.mark.parametrize(
    "body",
    [
        "y = Gemm (x, w, b)",
        "y = Gemm <transB = 1> (x, v)",
        "y = MatMul (x, w)",
        "m = Transpose <perm = [1, 0]> (t) d = Sub (x, m) y = MatMul (d, w)",
    ],
)
def test_plain_products_are_left_alone(assert_idle, body):
    assert_idle(plain_products, make(body))


def test_a_weight_that_others_read_is_not_scaled(assert_idle):
    assert_idle(plain_products, make("a = Gemm <alpha = 0.5> (x, w, b) c = MatMul (x, w) y = Add (a, c)"))


@pytest.mark.parametrize(
    "graph",
    [
        "g (float[4, 8] x) => (float[1, 4, 6] y) <float[1, 8, 6] w> { y = MatMul (x, w) }",
        "g (float[2, 4, 8] x) => (float[2, 4, 6] y) <float[2, 8, 6] w> { y = MatMul (x, w) }",
        "g (float[N, 8, 5] x) => (float[N, 6, 5] y) <float[1, 6, 8] w> { y = MatMul (w, x) }",
    ],
)
def test_a_stack_that_adds_an_axis_or_holds_several_stays(assert_idle, graph):
    assert_idle(plain_products, parse_model(graph))


def test_products_of_one_matrix_have_names_of_their_own(assert_acts):
    body = "[one] p = Gemm <transA = 1> (t, w, b) [two] q = Gemm <transA = 1> (t, v2) [add] y = Add (p, q)"
    text = f"g (float[N, 8] x, float[8, N] t) => (float[N, 6] y) {WEIGHTS[:-1]}, float[8, 6] v2> {{ {body} }}"
    result = assert_acts(plain_products, parse_model(text))
    names = [name for node in result.graph.node for name in (node.name, *node.output)]
    assert len(set(names)) == len(names)
