import pytest

from tests.lower.conftest import parse_model
from toolchain.lower.float_reasons import explain_float_layers, explain_subgraphs
from toolchain.lower.runtimes.onnxruntime import plan_int8

HEAD = '<ir_version: 10, opset_import: ["": 21]> '
NEVER = {"LSTM": "recurrent"}


def explain(body, inputs="float[n, 4, 8] x", outputs="y"):
    declared = (
        "<float[1, 4, 4] left, float[2, 8, 6] stack, float[8, 6] w, float[6, 8] v, float[6] b, int64[2] s = {-1, 8}>"
    )
    model = parse_model(f"{HEAD} g ({inputs}) => (float[a, b, c] {outputs}) {declared} {{ {body} }}")
    return explain_float_layers(model, [node.name for node in plan_int8(model).nodes], NEVER)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[m] y = MatMul(left, x)", "its constant stands on the left: int8 kernels take the weight on the right"),
        ("[t] t = Transpose<perm = [0, 2, 1]>(x) [m] y = MatMul(x, t)", "a product of two activations"),
        ("[c] c = Concat<axis = 0>(x, x) [m] y = MatMul(c, stack)", "its weight of shape (2, 8, 6) is not one matrix"),
        ("[i] i = Identity(w) [m] y = MatMul(x, i)", "its weight is computed in the graph, by i (Identity)"),
    ],
)
def test_a_product_that_is_no_candidate_has_one_reason(body, reason):
    assert reason in explain(body)["m"]


def test_a_candidate_and_another_operator_have_none():
    assert explain("[r] r = Relu(x) [m] y = MatMul(r, w)") == {}


@pytest.mark.parametrize(
    ("gemm", "reason"),
    [
        ("Gemm<alpha = 0.5>(f, w, b)", "it scales its product, and another node reads its weight or bias"),
        ("Gemm<transA = 1>(g, w, b)", "it transposes its input, and another node reads its weight or bias"),
        ("Gemm(f, w, c)", "its bias is computed in the graph"),
    ],
)
def test_a_gemm_that_stayed_as_it_was_says_why(gemm, reason):
    model = parse_model(
        f"{HEAD} g (float[n, 8] f, float[8, n] g, float[n, 6] c) => (float[n, 6] y) <float[8, 6] w, float[6] b> "
        f"{{ [m] y = {gemm} }}"
    )
    assert explain_float_layers(model, [], NEVER) == {"m": reason}


def test_layers_in_the_body_of_a_loop_are_named_with_it():
    model = parse_model(
        f"""{HEAD} g (float[n, 8] x, int64 steps, bool go) => (float[n, 8] y) <float[8, 8] w> {{
        [loop] y = Loop(steps, go, x) <body = b (int64 i, bool c, float[n, 8] s) => (bool d, float[n, 8] t) {{
            [keep] d = Identity(c) [inner] h = MatMul(s, w)
            [choice] t = If (c) <then_branch = p () => (float[n, 8] q) {{ [deep] q = MatMul(h, w) }},
                                 else_branch = o () => (float[n, 8] r) {{ [act] r = Relu(h) }}> }}> }}"""
    )
    reasons = explain_float_layers(model, [], NEVER)
    assert set(reasons) == {"inner", "deep"}
    assert reasons["deep"] == "it is inside the body of loop (Loop): int8 reaches the main graph only"
    assert explain_subgraphs(model, {"Relu"}, "why") == {"act": "it is inside the body of loop (Loop): why"}
