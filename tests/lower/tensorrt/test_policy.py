import numpy as np
import onnx
import pytest

from tests.lower.conftest import observe_ranges, parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.lower.tensorrt.policy import plan_int8, tensorrt_policy

HEAD = '<ir_version: 10, opset_import: ["": 20]>'

# Two residual blocks of ResNet: a plain shortcut, then one with a convolution.
BLOCKS = f"""
{HEAD}
blocks (float[n, 4, 8, 8] x) => (float[n, 8, 4, 4] y)
<float[4, 4, 3, 3] w1, float[4] b1, float[4, 4, 3, 3] w2, float[4] b2, float[8, 4, 3, 3] w3, float[8] b3,
 float[8, 8, 3, 3] w4, float[8, 4, 1, 1] w5, float[8, 8, 1, 1] w6>
{{
    [conv1] c1 = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    [relu1] r1 = Relu(c1)
    [conv2] c2 = Conv<pads = [1, 1, 1, 1]>(r1, w2, b2)
    [add1] a1 = Add(c2, x)
    [relu2] r2 = Relu(a1)
    [conv3] c3 = Conv<pads = [1, 1, 1, 1], strides = [2, 2]>(r2, w3, b3)
    [relu3] r3 = Relu(c3)
    [conv4] c4 = Conv<pads = [1, 1, 1, 1]>(r3, w4)
    [down] d = Conv<strides = [2, 2]>(r2, w5)
    [add2] a2 = Add(d, c4)
    [relu4] r4 = Relu(a2)
    [last] y = Conv(r4, w6)
}}
"""


def planned(text, keep_float=frozenset()):
    return {node.name: node for node in plan_int8(parse_model(text), keep_float).nodes}


@pytest.fixture
def blocks():
    return parse_model(BLOCKS)


@pytest.fixture
def inputs():
    return {"x": np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)}


def lower(model, inputs, keep_float=frozenset()):
    policy = tensorrt_policy(float16=False, finish=lambda made: made)
    ranges = observe_ranges(model, inputs, plan_int8(model).tensors)
    return policy.write(model, ranges, keep_float)


def test_no_pair_stands_between_a_convolution_and_its_activation_or_its_add(blocks, inputs):
    made = lower(blocks, inputs)
    producers = {name: node for node in made.graph.node for name in node.output}
    for name in ("relu1", "relu2", "relu3", "relu4", "add1", "add2"):
        node = next(node for node in made.graph.node if node.name == name)
        read = [producers[tensor].op_type for tensor in node.input]
        assert read.count("DequantizeLinear") == (1 if node.op_type == "Add" else 0)
        assert set(read) <= {"Conv", "Add", "DequantizeLinear"}


def test_the_shortcut_of_a_residual_is_int8_and_the_fused_branch_is_not():
    nodes = planned(BLOCKS)
    assert nodes["add1"].activations == ("x",)
    # Of two convolutions, TensorRT fuses the Add into the end of the longer branch.
    assert nodes["add2"].activations == ("d",)


def test_outputs_are_never_quantized_and_inputs_of_weighted_layers_always():
    nodes = planned(BLOCKS)
    assert all(node.output is None for node in nodes.values())
    assert [nodes[name].activations[0] for name in ("conv1", "conv2", "conv3", "down", "last")] == [
        "x",
        "r1",
        "r2",
        "r2",
        "r4",
    ]


def test_a_tensor_is_quantized_once_and_dequantized_for_each_reader(blocks, inputs):
    made = lower(blocks, inputs)
    of_r2 = [
        node.op_type
        for node in made.graph.node
        if any(name.startswith("r2_quantized") for name in [*node.input, *node.output])
    ]
    assert of_r2 == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear"]


def test_zero_points_are_zero_weights_int8_per_channel_and_biases_float(blocks, inputs):
    made = lower(blocks, inputs)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    zero_points = [value for name, value in values.items() if name.endswith("_zero_point")]
    assert zero_points
    assert all(value.dtype == np.int8 and not value.any() for value in zero_points)
    assert values["conv1_weight_scale"].shape == (4,)
    assert values["b1"].dtype == np.float32
    assert not any(value.dtype == np.int32 for value in values.values())


def test_the_result_is_close_to_the_float_model(blocks, inputs):
    made = lower(blocks, inputs)
    onnx.checker.check_model(made, full_check=True)
    assert compare(run_model(blocks, inputs), run_model(made, inputs))[0].sqnr_db > 25


def test_a_residual_that_nothing_reads_in_int8_stays_in_float():
    text = f"""
    {HEAD} net (float[n, 4, 8, 8] x, float[n, 4, 8, 8] z) => (float[n, 4, 8, 8] y) <float[4, 4, 1, 1] w>
    {{ [c] a = Conv(x, w) [add] s = Add(a, z) [soft] y = Softmax(s) }}
    """
    assert list(planned(text)) == ["c"]


def test_an_add_without_a_convolution_of_its_own_stays_in_float():
    text = f"""
    {HEAD} net (float[n, 4, 8, 8] x) => (float[n, 4, 8, 8] y, float[n, 4, 8, 8] z) <float[4, 4, 1, 1] w, float[4, 4, 1, 1] v>
    {{ [c] z = Conv(x, w) [add] s = Add(z, x) [d] y = Conv(s, v) }}
    """
    assert list(planned(text)) == ["c", "d"]


def test_a_bias_added_to_a_matrix_product_is_no_residual():
    text = f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float[4, 4] w, float[4] b> {{ [m] a = MatMul(x, w) [add] y = Add(a, b) }}"
    assert list(planned(text)) == ["m"]


def test_a_product_of_two_activations_stays_in_float():
    assert planned(f"{HEAD} net (float[n, 4] x, float[4, 4] z) => (float[n, 4] y) {{ [m] y = MatMul(x, z) }}") == {}


def test_a_layer_that_is_kept_takes_its_residual_along(blocks, inputs):
    nodes = planned(BLOCKS, frozenset({"conv2"}))
    assert "conv2" not in nodes
    assert "add1" not in nodes
    onnx.checker.check_model(lower(blocks, inputs, frozenset({"conv2"})), full_check=True)


def test_scales_are_float16_numbers_where_float16_stands_around(blocks, inputs):
    policy = tensorrt_policy(float16=True, finish=lambda made: made)
    made = policy.write(blocks, observe_ranges(blocks, inputs, plan_int8(blocks).tensors), frozenset())
    for tensor in made.graph.initializer:
        if tensor.name.endswith("_scale"):
            scale = onnx.numpy_helper.to_array(tensor)
            np.testing.assert_array_equal(scale, scale.astype(np.float16).astype(np.float32))
