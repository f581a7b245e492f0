import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import run_model
from toolchain.agent.measure.parity import compare
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.fp16_emulation import emulate_float16
from toolchain.lower.tensorrt.foreign_pairs import take_foreign_pairs

GRAPH = """<ir_version: 10, opset_import: ["": 21]> g (float[n, 3, 8, 8] image) => (float[n, 4, 8, 8] y)
<float[4, 4, 1, 1] v> {{
    [q1] i = QuantizeLinear(image, s, z) [d1] x = DequantizeLinear(i, s, z)
    [dw] w = DequantizeLinear<axis = 0>(wq, ws, wz) [db] b = DequantizeLinear<axis = 0>(bq, bs)
    [c1] c = Conv(x, w, b)
    [q2] j = QuantizeLinear(c, s2, z2) {between} [d2] h = DequantizeLinear({read}, s2, z2)
    [c2] y = Conv(h, v) }}"""


def make(dtype, zero, zero2, *, between="", read="j"):
    """Return a model as others quantize it: the second pair does the work of a Relu where its zero point is the least."""
    rng = np.random.default_rng(0)
    values = {
        "s": np.float32(0.03),
        "z": np.array(zero, dtype),
        "s2": np.float32(0.02),
        "z2": np.array(zero2, dtype),
        "wq": rng.integers(-127, 127, (4, 3, 1, 1)).astype(np.int8),
        "ws": np.float32([0.01, 0.02, 0.005, 0.01]),
        "wz": np.zeros(4, np.int8),
        "bq": rng.integers(-99, 99, 4).astype(np.int32),
        "bs": np.float32([0.003, 0.0006, 0.0015, 0.003]),
    }
    text = GRAPH.format(between=between, read=read)
    model = onnx.parser.parse_model(text.replace("<float[4, 4, 1, 1] v>", ""))
    values["v"] = rng.normal(size=(4, 4, 1, 1)).astype(np.float32)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in values.items())
    return model


def lower_and_read(lower, model, feeds, precision="int8"):
    folder = lower(model, feeds, "jetson", precision, listed=["int8", "float32"])
    return onnx.load(folder / "model.onnx"), json.loads((folder / "lowering.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("dtype", "zero"), [(np.uint8, 128), (np.int8, 0)])
def test_a_zero_point_in_the_middle_keeps_its_integers(lower, feeds, dtype, zero):
    model = make(dtype, zero, zero)
    lowered, document = lower_and_read(lower, model, feeds)
    assert document["came_quantized"] == {"exact": ["image", "c"], "requantized": []}
    scales = {t.name: numpy_helper.to_array(t) for t in lowered.graph.initializer if t.name.endswith("_scale")}
    assert scales["image_scale"] == np.float32(0.03)
    assert scales["c_scale"] == np.float32(0.02)
    assert compare(run_model(model, feeds[0]), run_model(emulate_float16(lowered), feeds[0]))[0].sqnr_db > 30


@pytest.mark.parametrize(("dtype", "zero", "zero2"), [(np.uint8, 128, 0), (np.int8, 3, -128), (np.uint8, 100, 90)])
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_another_zero_point_is_rounded_anew_and_clips_as_before(lower, feeds, dtype, zero, zero2, precision):
    model = make(dtype, zero, zero2)
    lowered, document = lower_and_read(lower, model, feeds, precision)
    assert "h" in document["came_quantized"]["requantized"]
    assert {t.data_type for t in lowered.graph.initializer}.isdisjoint({onnx.TensorProto.UINT8, onnx.TensorProto.INT32})
    assert compare(run_model(model, feeds[0]), run_model(emulate_float16(lowered), feeds[0]))[0].sqnr_db > 25


@pytest.mark.parametrize(
    ("model", "node"),
    [
        (make(np.uint8, 128, 128, between="[move] k = Identity(j)", read="k"), "q2"),
        (make(np.uint16, 0, 0), "q1"),
    ],
)
def test_what_is_more_than_a_pair_is_refused_with_its_node(lower, feeds, model, node):
    with pytest.raises(ToolchainError) as caught:
        lower(model, feeds, "jetson", "int8")
    assert caught.value.code == ExitCode.INCOMPATIBLE
    assert f"node {node}" in caught.value.where


def test_a_float_model_says_nothing_of_pairs(lower, feeds, residual):
    assert "came_quantized" not in lower_and_read(lower, residual, feeds)[1]


def test_a_tensor_that_is_called_as_a_bound_would_be_stays_what_it_is():
    plain = make(np.uint8, 100, 90)
    hostile = make(np.uint8, 100, 90)
    for tensor in hostile.graph.initializer:
        tensor.name = "h_low" if tensor.name == "v" else tensor.name
    hostile.graph.node[-1].input[1] = "h_low"
    image = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    expected, found = (run_model(take_foreign_pairs(model).model, {"image": image})["y"] for model in (plain, hostile))
    np.testing.assert_array_equal(found, expected)
