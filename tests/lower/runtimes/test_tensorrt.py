import json

import numpy as np
import onnx
import pytest

from tests.lower.conftest import parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.fp16_emulation import emulate_float16


def read(folder):
    return onnx.load(folder / "model.onnx"), json.loads((folder / "lowering.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("precision", "sqnr_db"), [("float32", 150), ("fp16", 55), ("int8", 25)])
def test_every_precision_is_near_the_float_model_in_opset_20(residual, images, feeds, lower, precision, sqnr_db):
    model, document = read(lower(residual, feeds, "gpu", precision))
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 20
    assert document["profile"]["image"]["usual"] == [1, 3, 8, 8]
    deployed = run_model(emulate_float16(model), images)
    assert compare(run_model(residual, images), deployed)[0].sqnr_db > sqnr_db


def test_int8_has_float16_around_it_where_the_target_lists_fp16(residual, feeds, lower):
    model, document = read(lower(residual, feeds, "jetson", "int8"))
    assert document["around_int8"] == "float16"
    assert {layer["name"] for layer in document["layers"]} == {"conv1", "conv2", "add", "gemm"}
    scales = {t.name: t.data_type for t in model.graph.initializer if "_scale" in t.name}
    assert set(scales.values()) <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT}
    assert scales["r1_scale_float16"] == onnx.TensorProto.FLOAT16


def test_int8_has_float32_around_it_where_the_target_does_not(residual, feeds, lower):
    model, document = read(lower(residual, feeds, "jetson", "int8", listed=["int8", "float32"]))
    assert document["around_int8"] == "float32"
    assert not any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)


def test_the_input_is_quantized_without_a_detour_over_float16(residual, feeds, lower):
    model, _ = read(lower(residual, feeds, "jetson", "int8"))
    (reader,) = [node for node in model.graph.node if "image" in node.input]
    assert reader.op_type == "QuantizeLinear"


def test_a_layer_that_overflows_in_float16_is_named_in_both_lowerings(feeds, lower):
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[n, 3, 8, 8] image) => (float[n, 2, 8, 8] y) '
        "<float[4, 3, 1, 1] w, float[2, 4, 1, 1] v, float big = {1e5}, float small = {1e-5}> "
        "{ [c1] a = Conv(image, w) [up] b = Mul(a, big) [down] c = Mul(b, small) [c2] y = Conv(c, v) }"
    )
    for precision, key in (("fp16", "kept_in_float"), ("int8", "kept_in_float32")):
        lowered, document = read(lower(model, feeds, "jetson", precision))
        assert [layer["name"] for layer in document[key]] == ["up", "down"]
        assert np.isfinite(run_model(emulate_float16(lowered), feeds[0])["y"]).all()


def test_the_gate_of_int8_sends_layers_back_to_float(residual, feeds, lower):
    _, document = read(lower(residual, feeds, "jetson", "int8", sqnr_db_min={"int8": 45.0}))
    kept = {layer["name"] for layer in document["kept_in_float"]}
    assert kept
    assert kept <= {"conv1", "conv2", "gemm"}


def test_the_same_input_makes_the_same_file(residual, feeds, lower):
    first = (lower(residual, feeds, "jetson", "int8") / "model.onnx").read_bytes()
    assert first == (lower(residual, feeds, "jetson", "int8") / "model.onnx").read_bytes()


def test_an_operator_that_tensorrt_lacks_stops_before_calibration(feeds, lower):
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> net (float[n, 3, 8, 8] image) => (float[n, 3, 8, 8] y) { [odd] y = Bernoulli(image) }'
    )
    with pytest.raises(ToolchainError, match="odd") as caught:
        lower(model, feeds, "jetson", "int8")
    assert caught.value.code == ExitCode.INCOMPATIBLE


@pytest.mark.parametrize(("ceil_mode", "opset"), [(0, 20), (1, 18)])
def test_a_model_that_pools_averages_comes_in_opset_18_and_has_float16_around_its_int8(feeds, lower, ceil_mode, opset):
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 18]> net (float[n, 3, 8, 8] image) => (float[n, 2, 4, 4] y) '
        "<float[4, 3, 1, 1] w, float[4] b, float[2, 4, 1, 1] v> { [c1] a = Conv(image, w, b) "
        f"[pool] p = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = {ceil_mode}> (a) "
        "[c2] y = Conv(p, v) }"
    )
    lowered, document = read(lower(model, feeds, "jetson", "int8"))
    onnx.checker.check_model(lowered, full_check=True)
    assert lowered.opset_import[0].version == opset
    assert {layer["name"] for layer in document["layers"]} >= {"c1", "c2"}
    assert document["around_int8"] == "float16"
    deployed = run_model(emulate_float16(lowered), feeds[0])
    assert compare(run_model(model, feeds[0]), deployed)[0].sqnr_db > 25


def test_fp16_in_which_nothing_is_float16_says_so(residual, feeds, lower):
    double = parse_model(
        '<ir_version: 10, opset_import: ["": 20]> net (double[n, 4] x) => (double[n, 4] y) { y = Mul (x, x) }'
    )
    samples = [{"x": np.full((1, 4), value)} for value in (0.5, 1.5)]
    assert read(lower(double, samples, "jetson", "fp16"))[1]["notes"][0].startswith("no layer is in fp16")
    assert read(lower(residual, feeds, "jetson", "fp16"))[1]["notes"] == []
