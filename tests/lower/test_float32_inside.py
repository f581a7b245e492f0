import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.lower.conftest import parse_model, run_model
from toolchain.lower.float32_inside import find_obstacle, list_halves, widen_to_float32

HALF = """
<ir_version: 10, opset_import: ["": 21]>
net (float16[n, 3, 8, 8] image) => (float16[n, 5] scores, int64[n] best)
<float[4, 3, 3, 3] w1, float[4] b1, float[5, 4] w2, float16 one = {1}>
{
    [conv] c = Conv<pads = [1, 1, 1, 1]>(image, w1, b1)
    [relu] r = Relu(c)
    [wide] rw = Cast<to = 1>(r)
    [sigmoid] s = Sigmoid(rw)
    [half] sh = Cast<to = 10>(s)
    [pool] p = GlobalAveragePool(sh)
    [flat] f = Flatten(p)
    [add] fa = Add(f, one)
    [gemm] scores = Gemm<transB = 1>(fa, w2)
    [best] best = ArgMax<axis = 1, keepdims = 0>(scores)
}
"""


def make_half(text=HALF):
    """Return the model of a text with its declared weights in float16."""
    model = parse_model(
        text.replace("float16[n", "float[n").replace("<to = 10>", "<to = 1>").replace("float16 one", "float one")
    )
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and "float16[n" in text:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for node in model.graph.node:
        if node.name == "half":
            node.attribute[0].i = TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def feed():
    return {"image": np.random.default_rng(3).standard_normal((4, 3, 8, 8)).astype(np.float16)}


def list_types(model):
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {value.name: value.type.tensor_type.elem_type for value in graph.value_info}


def test_a_float16_model_computes_in_float32_and_keeps_its_inputs_and_outputs(feed):
    model = make_half()
    widened = widen_to_float32(model)
    onnx.checker.check_model(widened, full_check=True)
    assert widened.graph.input == model.graph.input
    assert widened.graph.output == model.graph.output
    assert TensorProto.FLOAT16 not in list_types(widened).values()
    assert all(tensor.data_type != TensorProto.FLOAT16 for tensor in widened.graph.initializer)
    expected, found = run_model(model, feed), run_model(widened, feed)
    assert found["scores"].dtype == np.float16
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=0.01)
    np.testing.assert_array_equal(found["best"], expected["best"])


def test_casts_between_float_types_are_gone_but_those_of_the_interface():
    casts = [node for node in widen_to_float32(make_half()).graph.node if node.op_type == "Cast"]
    assert [tuple(cast.input) for cast in casts] == [("image",), ("scores_float32",)]


BRANCHES = """
<ir_version: 10, opset_import: ["": 21]>
net (float16[n, 4] x, bool flip) => (float16[n, 4] y)
{
    h = Relu(x)
    y = If(flip) <then_branch = t () => (float16[n, 4] a) { k = Constant<value = float16 {2}>() a = Mul(h, k) },
                  else_branch = e () => (float16[n, 4] b) { b = Neg(h) }>
}
"""


@pytest.mark.parametrize("flip", [True, False])
def test_subgraphs_are_widened_too(flip):
    model = onnx.parser.parse_model(BRANCHES)
    widened = widen_to_float32(model)
    onnx.checker.check_model(widened, full_check=True)
    feed = {"x": np.linspace(-1, 1, 8, dtype=np.float16).reshape(2, 4), "flip": np.array(flip)}
    np.testing.assert_array_equal(run_model(widened, feed)["y"], run_model(model, feed)["y"])


def test_an_overridable_initializer_and_outputs_that_others_read_keep_their_types(feed):
    model = make_half()
    model.graph.input.append(onnx.helper.make_tensor_value_info("one", TensorProto.FLOAT16, []))
    model.graph.output.append(onnx.helper.make_tensor_value_info("r", TensorProto.FLOAT16, ["n", 4, 8, 8]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("b1", TensorProto.FLOAT16, [4]))
    widened = widen_to_float32(model)
    onnx.checker.check_model(widened, full_check=True)
    for extra in ({}, {"one": np.array(3, np.float16)}):
        expected, found = run_model(model, feed | extra), run_model(widened, feed | extra)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_allclose(found[name], array, atol=0.02)


def test_bfloat16_weights_are_widened():
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[n, 4] x) => (float[n, 4] y) '
        "{ wide = Cast<to = 1>(w) y = Mul(x, wide) }"
    )
    values = onnx.helper.make_tensor("w", TensorProto.BFLOAT16, [4], [1.0, 2.0, 0.5, 3.0])
    model.graph.initializer.append(values)
    assert list_halves(model) == ("bfloat16",)
    widened = widen_to_float32(model)
    assert [node.op_type for node in widened.graph.node] == ["Mul"]
    assert run_model(widened, {"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[1.0, 2.0, 0.5, 3.0]]


def test_a_float32_model_holds_no_halves_and_a_sequence_is_an_obstacle(residual):
    assert list_halves(residual) == ()
    assert find_obstacle(residual) is None
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float16[4] x) => (seq(float16[2]) y) { y = SplitToSequence(x) }'
    )
    assert find_obstacle(model) == "y is a sequence of 16-bit floats"
