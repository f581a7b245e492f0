import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.optimize.conftest import list_operators, parse_model
from toolchain.graph import set_aside
from toolchain.optimize import simplify

NORM = """
g (float[batch, 3, 8, 8] x) => (float[batch, 4, 6, 6] y)
<float[4, 3, 3, 3] w, float[4] scale, float[4] shift, float[4] mean, float[4] var = {1, 2, 3, 4}>
{ c = Conv (x, w) n = BatchNormalization (c, scale, shift, mean, var) i = Identity (n) y = Relu (i) }
"""


def test_batch_normalization_is_fused_and_the_batch_stays_dynamic(assert_acts):
    result = assert_acts(simplify, parse_model(NORM))
    assert list_operators(result) == ["Conv", "Relu"]
    assert result.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_constant_expressions_are_folded(assert_acts):
    model = parse_model(
        "g (float[N, 4] x) => (float[N, 4] y) <float[4] a, float[4] b> { c = Mul (a, b) y = Add (x, c) }"
    )
    assert list_operators(assert_acts(simplify, model)) == ["Add"]


def test_a_value_that_is_also_an_output_is_kept(assert_acts):
    model = parse_model(NORM.replace("(float[batch, 4, 6, 6] y)", "(float[batch, 4, 6, 6] y, float[batch, 4, 6, 6] c)"))
    result = assert_acts(simplify, model)
    assert "BatchNormalization" in list_operators(result) or list_operators(result).count("Conv") == 2
    assert [value.name for value in result.graph.output] == ["y", "c"]


def test_nothing_to_simplify_is_left_alone(assert_idle):
    assert_idle(
        simplify,
        parse_model(
            "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) <float[4, 3, 3, 3] w> { c = Conv (x, w) y = Relu (c) }"
        ),
    )


def test_shapes_that_follow_the_batch_are_not_made_constant(assert_acts):
    model = parse_model(
        """g (float[batch, 4, 4] x) => (float[batch, 16] y) <int64[1] zero = {0}, int64[1] one = {1}, int64[1] rest = {-1}>
        { s = Shape (x) n = Slice (s, zero, one) t = Concat <axis = 0> (n, rest) i = Identity (x) y = Reshape (i, t) }"""
    )
    assert_acts(simplify, model)


def test_the_bias_of_a_batched_matmul_stays_an_add(assert_idle):
    # As Gemm it would need Reshape, Shape and Concat around it.
    assert_idle(
        simplify,
        parse_model(
            "g (float[N, T, 8] x) => (float[N, T, 4] y) <float[8, 4] w, float[4] b> { m = MatMul (x, w) y = Add (m, b) }"
        ),
    )


def test_an_if_of_constant_condition_becomes_its_branch(assert_acts):
    model = parse_model(
        """g (float[N, 4] x) => (float[N, 4] y) <bool c = {1}> {
        r = Relu (x)
        t = If (c) <then_branch = p () => (float[N, 4] a) { s = Neg (r) a = Exp (s) },
                    else_branch = q () => (float[N, 4] b) { b = Abs (r) }>
        y = Add (t, r) }"""
    )
    assert list_operators(assert_acts(simplify, model)) == ["Relu", "Neg", "Exp", "Add"]


def test_an_if_inside_of_an_if_does_not_break_the_order_of_nodes(assert_acts):
    model = parse_model(
        """g (float[N, 4] x) => (float[N, 4] y) <bool c = {1}, float[4] v, float[4] w> {
        r = Relu (x)
        t = If (c) <then_branch = p () => (float[N, 4] a) {
                s = Neg (r)
                u = If (c) <then_branch = p2 () => (float[N, 4] a2) { a2 = Exp (s) },
                            else_branch = q2 () => (float[N, 4] b2) { b2 = Abs (s) }>
                a = Sin (u) },
            else_branch = q () => (float[N, 4] b) { b = Abs (r) }>
        k = Mul (v, w) y = Add (t, k) }"""
    )
    onnx.checker.check_model(assert_acts(simplify, model))


def test_weights_are_scaled_by_the_formula(assert_acts):
    model = parse_model(NORM)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    result = assert_acts(simplify, model)
    conv = result.graph.node[0]
    fused = {tensor.name: numpy_helper.to_array(tensor) for tensor in result.graph.initializer}
    gain = arrays["scale"] / np.sqrt(arrays["var"] + 1e-5)
    assert np.allclose(fused[conv.input[1]], arrays["w"] * gain[:, None, None, None], atol=1e-6)
    assert np.allclose(fused[conv.input[2]], arrays["shift"] - gain * arrays["mean"], atol=1e-6)


def test_the_notes_of_a_model_are_kept_and_none_are_added(assert_acts):
    model = parse_model(NORM)
    model.metadata_props.add(key="author", value="somebody")
    assert assert_acts(simplify, model).metadata_props == model.metadata_props


def measure_weights(model):
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


TIED = """g (int64[N, 4] ids) => (float[N, 4, 50] y) <float[50, 16] emb, float[16, 16] w> {
    e = Gather (emb, ids) h = MatMul (e, w) i = Identity (h) t = Transpose <perm = [1, 0]> (emb) y = MatMul (i, t) }"""


def test_an_embedding_that_also_projects_the_output_is_stored_once(assert_acts):
    model = parse_model(TIED)
    simplified = assert_acts(simplify, model)
    assert measure_weights(simplified) == measure_weights(model)
    assert list_operators(simplified) == ["Gather", "MatMul", "Transpose", "MatMul"]


def test_a_convolution_that_several_normalizations_follow_is_stored_once(assert_acts):
    norms = [[f"{name}{i}" for name in "gomv"] for i in (1, 2)]
    lines = [f"c{i} = Conv (x, w) y{i} = BatchNormalization (c{i}, {', '.join(n)})" for i, n in enumerate(norms)]
    declared = ", ".join(f"float[16] {name}" for n in norms for name in n)
    model = parse_model(
        f"g (float[N, 16, 8, 8] x) => (float[N, 16, 6, 6] y0, float[N, 16, 6, 6] y1) "
        f"<float[16, 16, 3, 3] w, {declared}> {{ {' '.join(lines)} z = Identity (x) }}"
    )
    for tensor in model.graph.initializer:
        if tensor.name.startswith("v"):
            tensor.CopyFrom(numpy_helper.from_array(abs(numpy_helper.to_array(tensor)) + 0.5, tensor.name))
    simplified = assert_acts(simplify, model)
    assert measure_weights(simplified) <= measure_weights(model)


def test_a_weight_that_equal_normalizations_follow_is_fused(assert_acts):
    model = parse_model(
        "g (float[N, 16, 8, 8] x) => (float[N, 16, 6, 6] a, float[N, 16, 6, 6] b) "
        "<float[16, 16, 3, 3] w, float[16] s, float[16] o> { c = Conv (x, w) a = BatchNormalization (c, s, o, o, s) "
        "r = Relu (x) d = Conv (r, w) b = BatchNormalization (d, s, o, o, s) }"
    )
    for tensor in model.graph.initializer:
        if tensor.name == "s":
            tensor.CopyFrom(numpy_helper.from_array(abs(numpy_helper.to_array(tensor)) + 0.5, "s"))
    assert list_operators(assert_acts(simplify, model)) == ["Conv", "Relu", "Conv"]


def test_what_fills_a_large_tensor_is_not_folded(assert_acts):
    model = parse_model(
        "g (float[N, 200, 200] x) => (float[N, 200, 200] y) <float[200, 1] w, int64[2] shape = {200, 200}> "
        "{ e = Expand (w, shape) i = Identity (x) y = Add (i, e) }"
    )
    assert measure_weights(assert_acts(simplify, model)) < 2000


@pytest.fixture
def very_large(monkeypatch):
    """Take any model for one of gigabytes, with large weights."""
    monkeypatch.setattr(simplify, "_VERY_LARGE_BYTES", 0)
    monkeypatch.setattr(set_aside, "ASIDE_MIN_BYTES", 1)


def count_seen(monkeypatch):
    """Return a list of how many initializers onnxsim is given."""
    seen, own = [], simplify.onnxsim.simplify

    def watch(model, **options):
        seen.append(len(model.graph.initializer))
        return own(model, **options)

    monkeypatch.setattr(simplify.onnxsim, "simplify", watch)
    return seen


PRODUCTS = """g (float[N, 4] x, int64[N] i) => (float[N, 4] y, float[N, 3] e)
<float[4, 4] a, float[4, 4] b, float[5, 3] table>
{ p = MatMul (x, a) j = Identity (p) r = Relu (j) y = Gemm (r, b) e = Gather (table, i) }"""


def test_weights_that_only_multiply_a_very_large_model_keeps_to_itself(assert_acts, monkeypatch, very_large):
    seen = count_seen(monkeypatch)
    model = parse_model(PRODUCTS)
    result = assert_acts(simplify, model)
    assert list_operators(result) == ["MatMul", "Relu", "Gemm", "Gather"]
    assert list(result.graph.initializer) == list(model.graph.initializer)
    assert list(result.graph.input) == list(model.graph.input)
    assert set(seen) == {0}


@pytest.mark.parametrize(
    ("graph", "operators"),
    [
        (NORM, ["Conv", "Relu"]),
        ("g (float[N, 4] x) => (float[N, 3] y) <float[3, 4] w> { t = Transpose (w) y = MatMul (x, t) }", ["MatMul"]),
        (
            "g (float[N, 4] x) => (float[N, 4] y) <float[1, 4] a, float[4, 4] w> { c = MatMul (a, w) y = Add (x, c) }",
            ["Add"],
        ),
    ],
    ids=["normalization", "transposed", "product of constants"],
)
def test_what_is_folded_of_a_very_large_model_is_folded_as_ever(assert_acts, very_large, graph, operators):
    assert list_operators(assert_acts(simplify, parse_model(graph))) == operators
