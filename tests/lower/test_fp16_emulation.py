import numpy as np
import onnx

from tests.lower.conftest import parse_model, run_model
from toolchain.lower.fp16 import convert_to_float16
from toolchain.lower.fp16_emulation import emulate_float16

HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def test_every_result_is_rounded_as_numpy_rounds_it():
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float far = {{1000.0}}> {{ [add] a = Add(x, far) [sub] y = Sub(a, far) }}"
    )
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    emulated = emulate_float16(convert_to_float16(model))
    onnx.checker.check_model(emulated, full_check=True)
    far = np.float16(1000)
    expected = ((x.astype(np.float16) + far) - far).astype(np.float32)
    np.testing.assert_array_equal(run_model(emulated, {"x": x})["y"], expected)
    # What ONNX Runtime makes of the float16 graph itself: it drops the rounding in between.
    assert np.abs(run_model(convert_to_float16(model), {"x": x})["y"] - expected).max() > 0.1


def test_the_interface_stays_and_the_model_that_came_in_is_unchanged(residual, images):
    converted = convert_to_float16(residual)
    before = converted.SerializeToString(deterministic=True)
    emulated = emulate_float16(converted)
    assert converted.SerializeToString(deterministic=True) == before
    assert run_model(emulated, images)["scores"].shape == (16, 5)
    assert not any(t.data_type == onnx.TensorProto.FLOAT16 for t in emulated.graph.initializer)


def test_a_model_without_float16_comes_back_itself(residual):
    assert emulate_float16(residual) is residual


def test_float16_inputs_and_outputs_are_rounded_too_and_keep_their_type():
    model = onnx.parser.parse_model(
        f"{HEAD} net (float16[n, 4] x) => (float16[n, 4] a, float16[n, 4] y) "
        "<float16 far = {1000}> { a = Add(x, far) y = Sub(a, far) }"
    )
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float16(1000), "far"))
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float16)
    emulated = emulate_float16(model)
    onnx.checker.check_model(emulated, full_check=True)
    far = np.float16(1000)
    found = run_model(emulated, {"x": x})
    np.testing.assert_array_equal(found["a"], x + far)
    np.testing.assert_array_equal(found["y"], (x + far) - far)
