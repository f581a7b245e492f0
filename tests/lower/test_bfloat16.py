import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.lower.conftest import parse_model, run_model
from toolchain.lower.bfloat16 import store_in_bfloat16

HEAD = '<ir_version: 10, opset_import: ["": 21]> '
LAYER = "g (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w, float[32] b> { [layer] y = Gemm(x, w, b) }"


def round_by_bits(values):
    """Return float32 numbers rounded to bfloat16, to even where two are as near, by their bits."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16
    return rounded.astype(np.uint32).view(np.float32)


def replace_weight(model, change):
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    value = numpy_helper.to_array(tensor).copy()
    change(value)
    tensor.CopyFrom(numpy_helper.from_array(value, "w"))
    return value


def test_a_model_computes_with_the_nearest_weights():
    model = parse_model(HEAD + LAYER)

    def halve(weight):
        weight[0, :4] = [1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8), 0]  # half-way between two

    weight = replace_weight(model, halve)
    stored, names = store_in_bfloat16(model)
    onnx.checker.check_model(stored, full_check=True)
    assert names == ("w",)
    replace_weight(model, lambda value: np.copyto(value, round_by_bits(weight)))
    feed = {"x": np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)}
    np.testing.assert_array_equal(run_model(stored, feed)["y"], run_model(model, feed)["y"])
    assert not np.array_equal(round_by_bits(weight), weight)


def test_a_weight_takes_half_of_its_bytes_and_a_bias_stays_as_it_is():
    stored, _ = store_in_bfloat16(parse_model(HEAD + LAYER))
    sizes = {tensor.data_type: len(tensor.raw_data) for tensor in stored.graph.initializer}
    assert sizes == {TensorProto.BFLOAT16: 2 * 64 * 32, TensorProto.FLOAT: 4 * 32}


def test_a_weight_that_would_become_infinite_stays_as_it_is():
    model = parse_model(HEAD + LAYER)
    replace_weight(model, lambda weight: weight.put(5, 3.4e38))
    assert store_in_bfloat16(model)[1] == ()
    replace_weight(model, lambda weight: weight.put(5, 3.3e38))
    assert store_in_bfloat16(model)[1] == ("w",)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_what_it_is(value):
    model = parse_model(HEAD + LAYER)
    replace_weight(model, lambda weight: weight.put(5, value))
    stored, _ = store_in_bfloat16(model)
    (tensor,) = (tensor for tensor in stored.graph.initializer if tensor.data_type == TensorProto.BFLOAT16)
    found = numpy_helper.to_array(tensor).astype(np.float32).reshape(-1)
    np.testing.assert_array_equal(found[5], np.float32(value))
    assert np.isfinite(np.delete(found, 5)).all()


@pytest.mark.parametrize(
    "text",
    [
        "g (float[n, 9] x) => (float[n, 9] y) <float[9, 9] w> { [layer] y = MatMul(x, w) }",
        "g (float[n, 64] x, float[64, 32] w) => (float[n, 32] y) { [layer] y = MatMul(x, w) }",
        "g (float[n, 64] x) => (float[n, 64] y) <float[64] w> { [layer] y = Mul(x, w) }",
    ],
    ids=["small", "an input", "one axis"],
)
def test_what_is_no_large_weight_is_left_alone(text):
    model = parse_model(HEAD + text)
    stored, names = store_in_bfloat16(model)
    assert names == ()
    assert stored == model


def test_a_constant_that_an_input_may_replace_stays_in_float32():
    model = parse_model(HEAD + LAYER)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", TensorProto.FLOAT, [64, 32]))
    assert store_in_bfloat16(model)[1] == ()


def test_names_that_a_model_has_taken_are_not_made_again():
    text = "g (float[n, 64] w_bfloat16) => (float[n, 32] w_widened) <float[64, 32] w> { w_widened = MatMul(w_bfloat16, w) }"
    stored, names = store_in_bfloat16(parse_model(HEAD + text))
    assert names == ("w",)
    onnx.checker.check_model(stored, full_check=True)
