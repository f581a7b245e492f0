import numpy as np
import onnx
import pytest

from tests.lower.conftest import parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.lower.fp16_emulation import emulate_float16
from toolchain.lower.tensorrt.group_normalization import rewrite_group_normalization


def make(shape):
    return parse_model(
        f'<ir_version: 10, opset_import: ["": 21]> g (float[{shape}] x) => (float[{shape}] y) '
        f"<float[4] s, float[4] b> "
        "{ [norm] g = GroupNormalization<num_groups = 2, epsilon = 0.001>(x, s, b) [act] y = Relu(g) }"
    )


@pytest.mark.parametrize(("shape", "sizes"), [("n, 4, 8, 8", (2, 4, 8, 8)), ("n, 4, k", (3, 4, 5))])
def test_it_computes_the_same_with_operators_of_opset_20(shape, sizes):
    model = make(shape)
    rewritten = rewrite_group_normalization(model)
    rewritten.opset_import[0].version = 20
    onnx.checker.check_model(rewritten, full_check=True)
    assert "GroupNormalization" not in {node.op_type for node in rewritten.graph.node}
    inputs = {"x": np.random.default_rng(0).normal(3, 2, sizes).astype(np.float32)}
    # ONNX Runtime computes both, the one by its definition.
    assert compare(run_model(model, inputs), run_model(rewritten, inputs))[0].sqnr_db > 110


def test_a_model_without_it_is_left_alone(residual):
    assert rewrite_group_normalization(residual) is residual


@pytest.mark.parametrize("precision", ["float32", "fp16", "int8"])
def test_every_precision_takes_a_model_with_it(feeds, lower, precision):
    model = parse_model(
        '<ir_version: 10, opset_import: ["": 21]> g (float[n, 3, 8, 8] image) => (float[n, 4, 8, 8] y) '
        "<float[4, 3, 3, 3] w, float[4, 4, 1, 1] v, float[4] s, float[4] b> { [c1] a = Conv<pads = [1, 1, 1, 1]>(image, w) "
        "[norm] g = GroupNormalization<num_groups = 2>(a, s, b) [c2] y = Conv(g, v) }"
    )
    lowered = onnx.load(lower(model, feeds, "jetson", precision) / "model.onnx")
    assert lowered.opset_import[0].version == 20
    assert compare(run_model(model, feeds[0]), run_model(emulate_float16(lowered), feeds[0]))[0].sqnr_db > 20
