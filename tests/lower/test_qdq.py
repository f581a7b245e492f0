import numpy as np
import onnx
import pytest

from tests.lower.conftest import observe_ranges, parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.lower.qdq import write_qdq
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import plan_int8


def least_sqnr_db(reference, deployed):
    return min(row.sqnr_db for row in compare(reference, deployed))


def lower(model, inputs, scheme, keep_float=frozenset()):
    plan = plan_int8(model, keep_float)
    return write_qdq(model, plan, observe_ranges(model, inputs, plan.tensors), scheme)


def test_the_result_is_valid_and_close_to_the_float_model(residual, images, scheme):
    quantized = lower(residual, images, scheme)
    onnx.checker.check_model(quantized, full_check=True)
    reference, deployed = run_model(residual, images), run_model(quantized, images)
    assert reference.keys() == deployed.keys()
    assert least_sqnr_db(reference, deployed) > 25


def test_the_model_that_came_in_is_unchanged(residual, images, scheme):
    before = residual.SerializeToString(deterministic=True)
    lower(residual, images, scheme)
    assert residual.SerializeToString(deterministic=True) == before


def test_weights_are_stored_as_int8_and_biases_as_int32(residual, images, scheme):
    quantized = lower(residual, images, scheme)
    types = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert types["conv1_weight_quantized"] == onnx.TensorProto.INT8
    assert types["conv1_bias_quantized"] == onnx.TensorProto.INT32
    assert "w1" not in types


def test_an_empty_plan_changes_nothing_but_recorded_shapes(residual, scheme):
    quantized = write_qdq(residual, QdqPlan(()), {}, scheme)
    assert [node.op_type for node in quantized.graph.node] == [node.op_type for node in residual.graph.node]
    assert len(quantized.graph.initializer) == len(residual.graph.initializer)


def test_a_tensor_that_int8_and_float_read_is_quantized_once(residual, images, scheme):
    quantized = lower(residual, images, scheme, frozenset({"add"}))
    quantizers = [node for node in quantized.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "r1"]
    assert len(quantizers) == 1
    add = next(node for node in quantized.graph.node if node.name == "add")
    assert all(name.endswith("_dequantized") for name in add.input)


def test_a_float_producer_serves_float_readers_without_a_pair(residual, images, scheme):
    quantized = lower(residual, images, scheme, frozenset({"conv1"}))
    assert "r1" in {name for node in quantized.graph.node if node.op_type != "QuantizeLinear" for name in node.input}


def test_an_output_of_a_convolution_keeps_its_name(images, scheme):
    model = parse_model(
        """
        <ir_version: 10, opset_import: ["": 21]>
        net (float[n, 3, 8, 8] image) => (float[n, 4, 8, 8] y, float[n, 2, 8, 8] z)
        <float[4, 3, 1, 1] w1, float[2, 4, 1, 1] w2>
        { [c1] y = Conv(image, w1) [c2] z = Conv(y, w2) }
        """
    )
    quantized = lower(model, images, scheme)
    onnx.checker.check_model(quantized, full_check=True)
    reference, deployed = run_model(model, images), run_model(quantized, images)
    assert list(deployed) == ["y", "z"]
    assert least_sqnr_db(reference, deployed) > 30


def test_a_subgraph_reads_the_dequantized_tensor(images, scheme):
    model = parse_model(
        """
        <ir_version: 10, opset_import: ["": 21]>
        net (float[n, 3, 8, 8] image, bool flag) => (float[n, 4, 8, 8] y)
        <float[4, 3, 1, 1] w>
        {
            [c] x = Conv(image, w)
            [if] y = If (flag) <
                then_branch = yes () => (float[n, 4, 8, 8] a) { [relu] a = Relu(x) },
                else_branch = no () => (float[n, 4, 8, 8] b) { [neg] b = Neg(x) }
            >
        }
        """
    )
    inputs = {**images, "flag": np.array(True)}
    plan = plan_int8(model)
    ranges = {"image": TensorRange(low=-4, high=4), "x": TensorRange(low=-6, high=6)}
    quantized = write_qdq(model, plan, ranges, scheme)
    onnx.checker.check_model(quantized, full_check=True)
    assert least_sqnr_db(run_model(model, inputs), run_model(quantized, inputs)) > 25


def test_a_plan_for_another_model_is_an_error(residual, images, scheme):
    plan = plan_int8(residual)
    with pytest.raises(KeyError):
        write_qdq(residual, plan, {}, scheme)
