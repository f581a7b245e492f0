import numpy as np
import onnx
from onnx import numpy_helper

from tests.optimize.conftest import parse_model
from toolchain.optimize import share_weights

GRAPH = (
    "g (float[N, 32] x) => (float[N, 32] y) <float[32, 32] v, float[32, 32] w> { a = MatMul (x, v) y = MatMul (a, w) }"
)


def make_equal(model, first, second):
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    tensors[second].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensors[first]), second))
    return model


def test_equal_weights_are_stored_once(assert_acts):
    shared = assert_acts(share_weights, make_equal(parse_model(GRAPH), "v", "w"))
    assert [tensor.name for tensor in shared.graph.initializer] == ["v"]


def test_a_branch_reads_the_one_that_is_left(assert_acts):
    model = parse_model(
        """g (float[N, 32] x, bool c) => (float[N, 32] y) <float[32, 32] v, float[32, 32] w> { a = MatMul (x, v)
        y = If (c) <then_branch = t () => (float[N, 32] p) { p = MatMul (a, w) },
                    else_branch = e () => (float[N, 32] q) { q = Relu (a) }> }"""
    )
    assert len(assert_acts(share_weights, make_equal(model, "v", "w")).graph.initializer) == 1


def test_other_weights_small_ones_and_those_a_caller_sees_stay(assert_idle):
    assert_idle(share_weights, parse_model(GRAPH))
    assert_idle(share_weights, make_equal(parse_model(GRAPH.replace("32]", "4]").replace("32,", "4,")), "v", "w"))
    overridable = make_equal(parse_model(GRAPH), "v", "w")
    overridable.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [32, 32]))
    assert_idle(share_weights, overridable)


def test_weights_of_equal_bytes_and_other_shapes_stay(assert_idle):
    model = parse_model(
        "g (float[N, 32] x) => (float[N, 16] y) <float[32, 64] v, float[64, 32] w> "
        "{ a = MatMul (x, v) b = MatMul (a, w) y = MatMul (b, u) }"
    )
    zeros = [("v", (32, 64)), ("w", (64, 32)), ("u", (32, 16))]
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in zeros)
    assert_idle(share_weights, model)
