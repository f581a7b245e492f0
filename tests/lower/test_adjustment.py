"""Gains and shifts of layers, against what they do to the layer's output."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import observe_ranges, parse_model, run_model
from toolchain.lower.adjustment import Adjustment, adjust_layers, find_bias_place
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8

HEAD = '<ir_version: 10, opset_import: ["": 21]> net '
LAYERS = {
    "conv": "(float[n, 2, 3, 3] x) => (float[n, 4, 3, 3] y) <float[4, 2, 1, 1] w, float[4] b> {[l] y = Conv(x, w, b)}",
    "conv without bias": "(float[n, 2, 3, 3] x) => (float[n, 4, 3, 3] y) <float[4, 2, 1, 1] w> {[l] y = Conv(x, w)}",
    "gemm": "(float[n, 2] x) => (float[n, 4] y) <float[4, 2] w, float[4] b> {[l] y = Gemm<transB = 1>(x, w, b)}",
    "matmul and add": """(float[n, 2] x) => (float[n, 4] y) <float[2, 4] w, float[4] b>
        {[l] m = MatMul(x, w) [a] y = Add(b, m)}""",
    "transposed": """(float[n, 2] x) => (float[n, 4] y) <float[4, 2] w, float[4] b>
        {[t] v = Transpose(w) [l] m = MatMul(x, v) [a] y = Add(m, b)}""",
}
GAIN = np.array([0.5, 1.0, 1.5, 2.0], np.float32)
SHIFT = np.array([0.0, -3.0, 7.0, 0.25], np.float32)


def make_input(model, count=5):
    dims = [value.dim_value or count for value in model.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(3).standard_normal(dims).astype(np.float32)}


@pytest.mark.parametrize("text", LAYERS.values(), ids=LAYERS)
def test_a_layer_is_multiplied_by_its_gain_and_moved_by_its_shift(text):
    model = parse_model(HEAD + text)
    inputs, before = make_input(model), model.SerializeToString()
    adjusted = adjust_layers(model, Adjustment(shifts={"l": SHIFT}, gains={"l": GAIN}), plan_int8(model))
    onnx.checker.check_model(adjusted, full_check=True)
    output = model.graph.node[-2 if "Add" in text else -1].output[0]
    bias = run_model(model, inputs, ["y"])["y"] - run_model(expose(model, output), inputs, [output])[output]
    align = (-1, 1, 1) if "Conv" in text else (-1,)
    expected = run_model(expose(model, output), inputs, [output])[output] * GAIN.reshape(align) + SHIFT.reshape(align)
    np.testing.assert_allclose(run_model(adjusted, inputs, ["y"])["y"], expected + bias, atol=1e-5)
    assert model.SerializeToString() == before


def expose(model, tensor):
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if tensor not in {value.name for value in result.graph.output}:
        result.graph.output.append(onnx.ValueInfoProto(name=tensor))
    return result


def test_a_layer_that_stays_in_float_is_not_changed():
    model = parse_model(HEAD + LAYERS["conv"])
    plan = plan_int8(model, frozenset({"l"}))
    assert adjust_layers(model, Adjustment(shifts={"l": SHIFT}, gains={"l": GAIN}), plan) is model


SHARED = """(float[n, 4] x) => (float[n, 4] y) <float[4, 4] w, float[4] b>
    {[l] h = Gemm(x, w, b) [k] y = Gemm(h, w, b)}"""
SHARED_WEIGHT = """(float[n, 4] x) => (float[n, 4] y) <float[4, 4] w, float[4] b, float[4] c>
    {[l] h = Gemm(x, w, b) [k] y = Gemm(h, w, c)}"""


def test_a_bias_that_others_read_is_not_changed_and_neither_is_one_that_is_an_input():
    model = parse_model(HEAD + SHARED)
    adjusted = adjust_layers(model, Adjustment(shifts={"l": SHIFT}), plan_int8(model))
    inputs = make_input(model)
    np.testing.assert_array_equal(run_model(adjusted, inputs)["y"], run_model(model, inputs)["y"])
    overridable = parse_model(HEAD + LAYERS["gemm"])
    overridable.graph.input.append(onnx.helper.make_tensor_value_info("b", onnx.TensorProto.FLOAT, [4]))
    from toolchain.graph.view import GraphView

    assert find_bias_place(GraphView.from_model(overridable), overridable.graph.node[0]) is None


def test_a_weight_that_others_read_has_no_gain():
    model = parse_model(HEAD + SHARED_WEIGHT)
    adjusted = adjust_layers(model, Adjustment(shifts={"l": SHIFT}, gains={"l": GAIN}), plan_int8(model))
    only_shift = adjust_layers(model, Adjustment(shifts={"l": SHIFT}), plan_int8(model))
    inputs = make_input(model)
    np.testing.assert_array_equal(run_model(adjusted, inputs)["y"], run_model(only_shift, inputs)["y"])


def test_a_shift_of_any_size_is_stored_as_int32_without_overflow(scheme):
    """A dead channel has nearly no weights, and so nearly no scale: 1e6 of its steps would not fit."""
    model = parse_model(HEAD + LAYERS["conv"])
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[1] = 1e-30
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "w"))
    inputs = make_input(model)
    ranges = observe_ranges(model, inputs, plan_int8(model).tensors)
    shift = np.array([0.0, 1e6, 0.0, -1e6], np.float32)
    lowered = int8_policy(scheme).write(model, ranges, frozenset(), adjustment=Adjustment(shifts={"l": shift}))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in lowered.graph.initializer}
    stored = constants["l_bias_quantized"] * constants["l_bias_scale"].astype(np.float64)
    bias = numpy_helper.to_array(model.graph.initializer[1])
    np.testing.assert_allclose(stored, bias + shift, rtol=1e-3, atol=1e-3)
