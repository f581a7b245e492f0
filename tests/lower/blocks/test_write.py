import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from tests.lower.dynamic.conftest import HEAD
from toolchain.agent.measure.session import find_runtime
from toolchain.agent.measure.sqnr import measure_powers, to_db
from toolchain.lower.blocks.write import SAVED_MIN_BYTES, count_saved, find_blocks, quantize_blocks, write_blocks

LAYERS = {
    "matmul": "g (float[n, s, 256] x) => (float[n, s, 128] y) <float[256, 128] w> { [layer] y = MatMul(x, w) }",
    "gemm": "g (float[n, 256] x) => (float[n, 128] y) <float[256, 128] w, float[128] b> { [layer] y = Gemm(x, w, b) }",
    "turned": """g (float[n, 256] x) => (float[n, 128] y) <float[128, 256] w, float[128] b> {
        [layer] y = Gemm<transB = 1>(x, w, b) }""",
    "odd": "g (float[n, 250] x) => (float[n, 129] y) <float[250, 129] w> { [layer] y = MatMul(x, w) }",
}


def write(model, layers=("layer",)):
    written = write_blocks(model, find_blocks(model, layers))
    assert [node.op_type for node in written.graph.node if node.name == "layer"] == ["MatMulNBits"]
    return written


def read_by_specification(model, zero_point=128):
    """Return the weight (K, N) that MatMulNBits's documentation says these tensors are."""
    (node,) = (node for node in model.graph.node if node.op_type == "MatMulNBits")
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    options = {attribute.name: attribute.i for attribute in node.attribute}
    inner, outputs = options["K"], options["N"]
    blocks = -(-inner // options["block_size"])
    packed, scales = tensors[node.input[1]], tensors[node.input[2]]
    assert packed.shape == (outputs, blocks, options["block_size"])
    weight = np.zeros((inner, outputs))
    for column in range(outputs):
        for row in range(inner):
            block, place = divmod(row, options["block_size"])
            step = float(scales[column * blocks + block])
            weight[row, column] = (int(packed[column, block, place]) - zero_point) * step
    return weight


def make_input(model):
    shape = [dim.dim_value or 3 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(2).normal(size=shape).astype(np.float32)}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_in_blocks_is_what_the_documentation_says_of_it(kind):
    model = parse_model(HEAD + LAYERS[kind])
    written, feed = write(model), make_input(model)
    bias = next((numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "b"), np.float32(0))
    found = run_model(written, feed)["y"]
    expected, shifted = (
        feed["x"].astype(np.float64) @ read_by_specification(written, zero_point) + bias for zero_point in (128, 120)
    )
    assert find_db(expected, found) > 35
    assert find_db(shifted, found) < 35


def find_db(expected, found):
    powers = measure_powers(expected, found.astype(np.float64))
    return float(to_db(powers.signal, powers.noise))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_weight_is_within_half_a_step_of_its_block(kind):
    model = parse_model(HEAD + LAYERS[kind])
    weight = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "w"))
    weight = weight.T if kind == "turned" else weight
    off = np.abs(read_by_specification(write(model)) - weight)
    for first in range(0, len(weight), 32):
        steps = np.abs(weight[first : first + 32]).max(axis=0) / 127
        assert (off[first : first + 32] <= steps * 0.5001).all()


def test_a_weight_of_zeros_stays_zeros():
    values, scales = quantize_blocks(np.zeros((64, 2), np.float32))
    assert (values == 128).all()
    assert (scales == 1).all()


def test_what_is_saved_is_counted():
    model = parse_model(HEAD + LAYERS["odd"])
    (weight,) = find_blocks(model, ["layer"]).values()
    before, after = (
        sum(len(tensor.raw_data) for tensor in variant.graph.initializer) for variant in (model, write(model))
    )
    assert count_saved((250, 129), weight) == before - after


def test_a_layer_that_was_not_asked_for_stays_as_it_is():
    assert find_blocks(parse_model(HEAD + LAYERS["gemm"]), []) == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_stays_in_float(value):
    model = parse_model(HEAD + LAYERS["gemm"])
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    weight = numpy_helper.to_array(tensor).copy()
    weight[3, 5] = value
    tensor.CopyFrom(numpy_helper.from_array(weight, "w"))
    assert find_blocks(model, ["layer"]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "g (float[n, 64] x) => (float[n, 64] y) <float[64, 64] w> { [layer] y = MatMul(x, w) }",
        "g (float[n, 256] x) => (float[n, 128] y) <float[256, 128] w> { [layer] a = MatMul(x, w) b = MatMul(x, w) y = Sub(a, b) }",
        "g (float[n, 256] x, float[256, 128] w) => (float[n, 128] y) { [layer] y = MatMul(x, w) }",
        "g (float[n, 64, 9, 9] x) => (float[n, 64, 7, 7] y) <float[64, 64, 3, 3] w> { [layer] y = Conv(x, w) }",
    ],
    ids=["small", "shared", "an input", "a convolution"],
)
def test_what_is_no_large_product_of_its_own_weight_is_left_alone(text):
    assert find_blocks(parse_model(HEAD + text), ["layer"]) == {}
    assert 64 * 64 * 3 < SAVED_MIN_BYTES < 256 * 128 * 3 - 256 * 4


def test_the_weight_in_float_is_gone_and_the_model_says_whose_operator_it_uses():
    written = write(parse_model(HEAD + LAYERS["matmul"]))
    assert "w" not in {tensor.name for tensor in written.graph.initializer}
    assert "com.microsoft" in {opset.domain for opset in written.opset_import}
    onnx.checker.check_model(written)


def test_its_work_is_counted_as_float_because_nothing_tells_that_the_kernel_made_integers(tmp_path):
    model = parse_model(HEAD + LAYERS["matmul"])
    (tmp_path / "model.onnx").write_bytes(write(model).SerializeToString())
    (layer,) = find_runtime("onnxruntime").read_placement(tmp_path / "model.onnx", 1, make_input(model)).layers
    assert (layer.op, layer.precision, layer.macs) == ("MatMulNBits", "float32", 3 * 3 * 256 * 128)
