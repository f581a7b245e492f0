import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.lower.conftest import parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.lower.fp16 import convert_to_float16, find_float16_nodes

HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def parse(text):
    return parse_model(f"{HEAD} {text}")


def types_of(model):
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value.type.tensor_type.elem_type for value in [*graph.value_info, *graph.input, *graph.output]}


def test_inputs_and_outputs_keep_their_types_and_the_rest_is_float16(residual, images):
    converted = convert_to_float16(residual)
    onnx.checker.check_model(converted, full_check=True)
    types = types_of(converted)
    assert (types["image"], types["scores"]) == (TensorProto.FLOAT, TensorProto.FLOAT)
    assert {types[name] for name in ("c1", "r1", "c2", "a", "r2", "p", "f")} == {TensorProto.FLOAT16}
    row = compare(run_model(residual, images), run_model(converted, images))[0]
    assert 55 < row.sqnr_db < 90


def test_the_model_that_came_in_is_unchanged(residual):
    before = residual.SerializeToString(deterministic=True)
    convert_to_float16(residual)
    assert residual.SerializeToString(deterministic=True) == before


def test_a_model_all_of_whose_nodes_are_kept_gets_no_cast(residual):
    kept = convert_to_float16(residual, frozenset(node.name for node in residual.graph.node))
    assert [node.op_type for node in kept.graph.node] == [node.op_type for node in residual.graph.node]
    assert not any(tensor.data_type == TensorProto.FLOAT16 for tensor in kept.graph.initializer)


def test_a_kept_node_stands_between_casts_and_keeps_its_float32_weight(residual, images):
    converted = convert_to_float16(residual, frozenset({"conv2"}))
    onnx.checker.check_model(converted, full_check=True)
    weights = {tensor.name: tensor.data_type for tensor in converted.graph.initializer}
    assert weights["w2"] == TensorProto.FLOAT
    assert weights["w1_float16"] == TensorProto.FLOAT16
    casts = [node.name for node in converted.graph.node if node.op_type == "Cast"]
    assert casts == ["image_float16_cast", "r1_float32_cast", "c2_float16_cast", "scores_cast"]
    assert run_model(converted, images)["scores"].dtype == np.float32


def test_an_output_that_another_node_reads_is_float32_outside_and_float16_inside():
    model = parse(
        "net (float[n, 4] x) => (float[n, 4] y, float[n, 4] z) <float[4, 4] w> { [m] y = MatMul(x, w) [r] z = Relu(y) }"
    )
    converted = convert_to_float16(model)
    onnx.checker.check_model(converted, full_check=True)
    assert list(next(node for node in converted.graph.node if node.name == "r").input) == ["y_float16"]


def test_a_node_with_a_subgraph_stays_in_float32_and_reads_float32():
    model = parse(
        """
        net (float[n, 4] x, bool flag) => (float[n, 4] y) <float[4, 4] w>
        {
            [m] a = MatMul(x, w)
            [if] y = If (flag) <
                then_branch = yes () => (float[n, 4] b) { [relu] b = Relu(a) },
                else_branch = no () => (float[n, 4] c) { [neg] c = Neg(a) }
            >
        }
        """
    )
    converted = convert_to_float16(model)
    onnx.checker.check_model(converted, full_check=True)
    assert find_float16_nodes(model) == {"m"}
    inputs = {"x": np.ones((2, 4), np.float32), "flag": np.array(True)}
    np.testing.assert_allclose(run_model(converted, inputs)["y"], run_model(model, inputs)["y"], rtol=1e-2, atol=1e-2)


def test_arithmetic_that_ends_in_integers_stays_in_float32():
    model = parse(
        """
        net (float[n, 4] x) => (float[m, 4] y) <float half = {0.5}, int64[1] four = {4}, int64[1] zero = {0}, int64[1] one = {1}>
        {
            [shape] s = Shape(x) [cut] d = Slice(s, zero, one) [up] f = Cast<to = 1>(d) [mul] h = Mul(f, half)
            [floor] i = Floor(h) [down] j = Cast<to = 7>(i) [join] k = Concat<axis = 0>(j, four) [relu] r = Relu(x)
            [expand] y = Expand(r, k)
        }
        """
    )
    assert find_float16_nodes(model) == {"relu", "expand"}
    onnx.checker.check_model(convert_to_float16(model), full_check=True)


def test_an_operator_without_float16_stays_in_float32():
    model = parse(
        "net (float[1, 2, 4, 4] x) => (float[1, 2, 8, 8] y) <float[4] s = {1.0, 1.0, 2.0, 2.0}> "
        '{ [up] y = Resize<mode = "linear">(x, , s) }'
    )
    converted = convert_to_float16(model)
    onnx.checker.check_model(converted, full_check=True)
    assert {tensor.name: tensor.data_type for tensor in converted.graph.initializer} == {"s": TensorProto.FLOAT}


def test_a_cast_to_float_becomes_a_cast_to_float16():
    model = parse(
        "net (bool[n, 4] m, float[n, 4] x) => (float[n, 4] y) { [up] f = Cast<to = 1>(m) [mul] y = Mul(f, x) }"
    )
    converted = convert_to_float16(model)
    onnx.checker.check_model(converted, full_check=True)
    assert types_of(converted)["f"] == TensorProto.FLOAT16


@pytest.mark.parametrize("kept", [frozenset(), frozenset({"add"}), frozenset({"conv1", "gemm"}), frozenset({"pool"})])
def test_every_choice_of_layers_is_a_valid_graph_near_the_float_model(residual, images, kept):
    converted = convert_to_float16(residual, kept)
    onnx.checker.check_model(converted, full_check=True)
    assert compare(run_model(residual, images), run_model(converted, images))[0].sqnr_db > 55
