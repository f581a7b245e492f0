from dataclasses import replace

import numpy as np
import onnx
import pytest

from tests.lower.conftest import observe_ranges, parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.agent.measure.session import find_runtime
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.lower.separate_bias import separate_biases

HEAD = '<ir_version: 10, opset_import: ["": 21]> '


def make(shape, body="[layer] p = MatMul(x, w) [bias] y = Add(p, b)", extra=""):
    model = parse_model(
        HEAD + f"g (float[{shape}, 64] x) => (float[{shape}, 32] y) <float[64, 32] w, float[32] b{extra}> {{ {body} }}"
    )
    return onnx.shape_inference.infer_shapes(model)


def list_precisions(model, x, folder):
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    placement = find_runtime("onnxruntime").read_placement(folder / "model.onnx", 1, {"x": x})
    return [layer.precision for layer in placement.layers]


@pytest.mark.parametrize("shape", ["1, 6", "n, 6", "2, 3, 6", "1, s"])
def test_a_product_with_a_bias_behind_it_runs_in_int8_and_returns_the_same(shape, scheme, tmp_path):
    model = make(shape)
    axes = [{"n": 2, "s": 5}.get(axis) or int(axis) for axis in shape.split(", ")]
    x = np.random.default_rng(1).normal(size=(*axes, 64)).astype(np.float32)
    ranges = observe_ranges(model, {"x": x}, plan_int8(model).tensors)
    written = int8_policy(scheme).write(model, ranges, frozenset())
    onnx.checker.check_model(written, full_check=True)
    assert list_precisions(written, x, tmp_path) == ["int8"]
    (row,) = compare(run_model(model, {"x": x}), run_model(written, {"x": x}))
    assert row.sqnr_db > 30


def test_without_it_onnxruntime_computes_that_product_in_float(scheme, tmp_path):
    # Where this fails, ONNX Runtime has learned it, and the module can go.
    model = make("1, 6")
    x = np.random.default_rng(1).normal(size=(1, 6, 64)).astype(np.float32)
    ranges = observe_ranges(model, {"x": x}, plan_int8(model).tensors)
    policy = replace(int8_policy(scheme), prepare=lambda given, _: given)
    assert list_precisions(policy.write(model, ranges, frozenset()), x, tmp_path) == ["float32"]


@pytest.mark.parametrize(
    ("shape", "body", "extra"),
    [
        ("6", "[layer] p = MatMul(x, w) [bias] y = Add(p, b)", ""),
        ("1, 6", "[layer] y = MatMul(x, w)", ""),
        ("1, 6", "[layer] p = MatMul(x, w) [bias] y = Add(p, r)", ", float[1, 32] r"),
        ("1, 6", "[layer] p = MatMul(x, w) [one] q = Add(p, b) [two] y = Mul(q, p)", ""),
    ],
    ids=["two axes", "no bias", "a row already", "another reader"],
)
def test_other_forms_are_left_alone(shape, body, extra):
    model = make(shape, body, extra)
    assert separate_biases(model, plan_int8(model)) is model


def test_a_layer_in_float_keeps_its_bias_which_the_runtime_fuses():
    model = make("1, 6")
    assert separate_biases(model, QdqPlan(())) is model


def test_a_bias_that_others_read_too_stays_for_them():
    model = make("1, 6", "[layer] p = MatMul(x, w) [bias] q = Add(p, b) [other] y = Mul(q, b)")
    separated = separate_biases(model, plan_int8(model))
    assert {tensor.name: list(tensor.dims) for tensor in separated.graph.initializer}["b"] == [32]
    assert next(node for node in separated.graph.node if node.name == "other").input[1] == "b"
    x = {"x": np.random.default_rng(1).normal(size=(1, 6, 64)).astype(np.float32)}
    np.testing.assert_array_equal(run_model(separated, x)["y"], run_model(model, x)["y"])
