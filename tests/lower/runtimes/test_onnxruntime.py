import pytest

from tests.lower.conftest import parse_model
from toolchain.lower.runtimes.onnxruntime import plan_int8

HEAD = '<ir_version: 10, opset_import: ["": 21]>'


def planned(text, keep_float=frozenset()):
    return {node.name: node for node in plan_int8(parse_model(f"{HEAD} {text}"), keep_float).nodes}


def test_a_residual_block_is_int8_from_end_to_end(residual):
    plan = plan_int8(residual)
    assert [node.name for node in plan.nodes] == ["conv1", "conv2", "add", "pool", "reshape", "gemm"]
    assert plan.weighted_layers == ("conv1", "conv2", "gemm")


def test_a_relu_behind_a_convolution_is_absorbed(residual):
    plan = {node.name: node for node in plan_int8(residual).nodes}
    assert plan["conv1"].output == "r1"
    assert plan["add"].output == "r2"


def test_a_relu_is_not_absorbed_when_someone_else_reads_the_convolution():
    nodes = planned(
        """
        net (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y, float[n, 4, 8, 8] z) <float[4, 3, 1, 1] w>
        { [c] a = Conv(x, w) [r] y = Relu(a) [n] z = Neg(a) }
        """
    )
    assert nodes["c"].output == "a"


def test_a_final_gemm_returns_float(residual):
    gemm = next(node for node in plan_int8(residual).nodes if node.name == "gemm")
    assert gemm.output is None


def test_a_gemm_that_feeds_a_gemm_stays_in_integers():
    nodes = planned(
        """
        net (float[n, 4] x) => (float[n, 2] y) <float[8, 4] w1, float[8] b1, float[2, 8] w2>
        { [g1] a = Gemm<transB = 1>(x, w1, b1) [r] h = Relu(a) [g2] y = Gemm<transB = 1>(h, w2) }
        """
    )
    assert nodes["g1"].output == "h"


def test_an_add_with_a_float_neighbour_stays_in_float():
    nodes = planned(
        """
        net (float[n, 3, 8, 8] x, float[n, 4, 8, 8] mask) => (float[n, 4, 8, 8] y) <float[4, 3, 1, 1] w>
        { [c] a = Conv(x, w) [add] y = Add(a, mask) }
        """
    )
    assert list(nodes) == ["c"]


def test_an_add_that_nobody_reads_in_int8_stays_in_float():
    nodes = planned(
        """
        net (float[n, 3, 8, 8] x) => (float[n, 4, 8, 8] y) <float[4, 3, 1, 1] w, float[4, 3, 1, 1] v>
        { [c] a = Conv(x, w) [d] b = Conv(x, v) [add] y = Add(a, b) }
        """
    )
    assert set(nodes) == {"c", "d"}


def test_a_product_of_two_activations_is_left_alone():
    assert planned("net (float[n, 4] x, float[4, 4] y) => (float[n, 4] z) { [m] z = MatMul(x, y) }") == {}


def test_a_scaled_gemm_is_left_alone():
    text = "net (float[n, 4] x) => (float[n, 4] y) <float[4, 4] w> { [g] y = Gemm<alpha = 0.5>(x, w) }"
    assert planned(text) == {}


@pytest.mark.parametrize("op", ["LayerNormalization", "Softmax"])
def test_normalization_is_left_alone(op):
    arguments = "x, s" if op == "LayerNormalization" else "x"
    assert planned(f"net (float[n, 4] x) => (float[n, 4] y) <float[4] s> {{ [n] y = {op}({arguments}) }}") == {}


def test_a_named_layer_stays_in_float(residual):
    names = [node.name for node in plan_int8(residual, frozenset({"conv2"})).nodes]
    assert "conv2" not in names
    assert "add" not in names
