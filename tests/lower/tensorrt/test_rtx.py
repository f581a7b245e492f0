import numpy as np
import onnx
import pytest
from onnxruntime import quantization

from tests.lower.conftest import parse_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.tensorrt.profile import ShapeRange
from toolchain.lower.tensorrt.rtx import build_engine, check_parses

HEAD = '<ir_version: 10, opset_import: ["": 20]>'
PROFILE = {"image": ShapeRange((1, 3, 8, 8), (1, 3, 8, 8), (4, 3, 8, 8))}


def build(model, *, capabilities=("8.6",), profile=PROFILE, sparse_weights=False):
    return build_engine(model, compute_capabilities=capabilities, profile=profile, sparse_weights=sparse_weights)


@pytest.mark.parametrize("precision", ["float32", "fp16", "int8"])
def test_an_engine_is_built_ahead_of_time_and_the_same_twice(residual, feeds, lower, precision):
    folder = lower(residual, feeds, "rtx", precision, listed=["int8", "fp16", "float32"])
    engine = (folder / "model.engine").read_bytes()
    model = onnx.load(folder / "model.onnx")
    profile = {"image": ShapeRange((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8))}
    assert engine == build(model, capabilities=["8.6", "8.9", "12.0"], profile=profile)


def test_the_default_pairs_of_onnx_runtime_are_refused_with_the_node(residual, feeds, tmp_path):
    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.feeds = iter(feeds)

        def get_next(self):
            return next(self.feeds, None)

    onnx.save(residual, tmp_path / "float.onnx")
    quantization.quantize_static(tmp_path / "float.onnx", tmp_path / "int8.onnx", Reader())
    with pytest.raises(ToolchainError, match="NVIDIA's parser refuses this model") as caught:
        check_parses(onnx.load(tmp_path / "int8.onnx"))
    assert caught.value.code == ExitCode.INCOMPATIBLE
    assert "Linear" in caught.value.where


def test_pairs_with_a_zero_point_are_refused():
    model = parse_model(
        f"{HEAD} net (float[1, 4] x) => (float[1, 4] y) <float s = {{0.1}}, int8 z = {{3}}> "
        "{ [q] a = QuantizeLinear(x, s, z) [d] y = DequantizeLinear(a, s, z) }"
    )
    with pytest.raises(ToolchainError) as caught:
        check_parses(model)
    assert caught.value.where == "node q (QuantizeLinear)"


def test_an_operator_that_the_parser_lacks_is_refused_by_name_and_stdout_stays_clean(capfd):
    model = parse_model(f"{HEAD} net (float[1, 4] x) => (float[1, 4] y) {{ [odd] y = Bernoulli(x) }}")
    with pytest.raises(ToolchainError) as caught:
        check_parses(model)
    assert caught.value.where == "node odd (Bernoulli)"
    assert capfd.readouterr() == ("", "")  # TensorRT's own logger prints its errors


def test_types_that_strong_typing_forbids_are_refused():
    # float16 times float32 without a Cast: ONNX's own checker, asked for the structure alone, lets it through.
    model = parse_model(
        f"{HEAD} net (float[1, 4] x) => (float[1, 4] y) {{ [c] a = Cast<to = 1>(x) [m] y = Mul(a, x) }}"
    )
    model.graph.node[0].attribute[0].i = onnx.TensorProto.FLOAT16
    with pytest.raises(ToolchainError) as caught:
        build(model)
    assert caught.value.where == "node m (Mul)"
    assert "must have same input types" in caught.value.found
    assert "\n" not in caught.value.found


def test_a_dynamic_input_without_a_profile_is_refused(residual):
    with pytest.raises(ToolchainError, match="no profile") as caught:
        build(residual, profile={})
    assert caught.value.code == ExitCode.INCOMPATIBLE
    assert caught.value.where == "input image"


def test_an_unknown_compute_capability_is_a_usage_error(residual):
    with pytest.raises(ToolchainError, match=r"8\.7") as caught:
        build(residual, capabilities=["8.7"])
    assert caught.value.code == ExitCode.USAGE
    assert "8.6" in caught.value.expected


def test_sparse_weights_build(residual):
    weight = next(tensor for tensor in residual.graph.initializer if tensor.name == "w2")
    values = np.array(onnx.numpy_helper.to_array(weight))
    values[:, :2] = 0
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w2"))
    assert build(residual, sparse_weights=True)
