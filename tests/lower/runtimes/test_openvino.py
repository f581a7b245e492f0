"""The rules of OpenVINO's policy, each held against what OpenVINO makes of the model."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from tests.lower.conftest import observe_ranges, parse_model
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.session import find_runtime, open_session
from toolchain.agent.measure.sqnr import measure_powers, to_db
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.qdq import write_qdq
from toolchain.lower.runtimes.onnxruntime import plan_int8 as plan_for_onnxruntime
from toolchain.lower.runtimes.openvino import int8_policy, plan_int8, profile_layers
from toolchain.lower.trial import open_emulated

pytestmark = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)

# What differs is values at the border of two steps, few of which fall to the other side. A rounding that one of the two
# leaves out costs more: 37 to 40 dB.
EXACT_DB = 48
HEAD = '<ir_version: 10, opset_import: ["": 21]>'
# 7-bit weights: they are right on every CPU that the tests may run on.
SCHEME = int8_policy(choose_scheme("x86_64", frozenset(), "auto")).scheme
IMAGE = "float[1, 8, 12, 12]"
BLOCK = "{0} = Conv <pads = [1, 1, 1, 1]> ({1}, {2})"


def net(
    nodes,
    outputs=f"{IMAGE} y",
    inputs=f"{IMAGE} x",
    weights="float[8, 8, 3, 3] w, float[8, 8, 3, 3] v, float[8, 8, 3, 3] w2, float[8, 1, 1] slope",
):
    return f"{HEAD} net ({inputs}) => ({outputs}) <{weights}> {{ {nodes} }}"


def read(text):
    """Return the model of a text, each node called after what it returns."""
    model = parse_model(text)
    for node in model.graph.node:
        node.name = node.output[0]
    return model


def feed_normal(model):
    """Return normal numbers for every input."""
    generator = np.random.default_rng(5)
    shapes = {value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in model.graph.input}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def lower(tmp_path):
    """Return what lowers a text by a plan: the precision of each layer that ran, and dB against exact sums."""

    def run(text, plan=plan_int8):
        model = read(text)
        feeds = feed_normal(model)
        planned = plan(model)
        lowered = write_qdq(model, planned, observe_ranges(model, feeds, planned.tensors), SCHEME)
        path = tmp_path / "model.onnx"
        path.write_bytes(lowered.SerializeToString())
        layers = find_runtime("openvino").read_placement(path, 1, feeds).layers
        [found] = open_session("openvino", path, 1).run(feeds).values()
        [exact] = open_emulated(lowered, threads=1).run(feeds).values()
        powers = measure_powers(exact, found)
        return [layer.precision for layer in layers], float(to_db(powers.signal, powers.noise))

    return run


ACTIVATIONS = ("Clip", "LeakyRelu", "Elu", "Sigmoid", "HardSwish", "Tanh", "Gelu")
CONV_2 = BLOCK.format("y", "h", "v")
INT8 = {
    "a chain": f"{BLOCK.format('a', 'x', 'w')} h = Relu (a) {CONV_2}",
    "a swish": f"{BLOCK.format('a', 'x', 'w')} s = Sigmoid (a) h = Mul (a, s) {CONV_2}",
    "a prelu": f"{BLOCK.format('a', 'x', 'w')} h = PRelu (a, slope) {CONV_2}",
    **{op: f"{BLOCK.format('a', 'x', 'w')} h = {op} (a) {CONV_2}" for op in ACTIVATIONS},
    "a pooled maximum": f"{BLOCK.format('a', 'x', 'w')} h = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a) {CONV_2}",
    "a pooled average": f"{BLOCK.format('a', 'x', 'w')} h = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a) {CONV_2}",
    "a transposed convolution behind a Relu": f"{BLOCK.format('a', 'x', 'w')} h = Relu (a) y = ConvTranspose <pads = [1, 1, 1, 1]> (h, v)",
    "a transposed convolution between two": f"{BLOCK.format('a', 'x', 'w')} r = Sigmoid (a) b = ConvTranspose <pads = [1, 1, 1, 1]> "
    f"(r, v) h = Relu (b) {BLOCK.format('y', 'h', 'w2')}",
    "a residual block": f"{BLOCK.format('a', 'x', 'w')} r = Relu (a) {BLOCK.format('b', 'r', 'v')} c = Add (b, r) "
    f"h = Relu (c) {CONV_2}",
}


@pytest.mark.parametrize("kind", INT8)
def test_these_patterns_run_in_int8_and_are_exact(lower, kind):
    precisions, sqnr_db = lower(net(INT8[kind]))
    assert set(precisions) == {"int8"}
    assert len(precisions) == INT8[kind].count("Conv")
    assert sqnr_db > EXACT_DB


def test_a_classifier_behind_pooling_runs_in_int8(lower):
    text = net(
        f"{BLOCK.format('a', 'x', 'w')} r = Relu (a) p = GlobalAveragePool (r) f = Flatten (p) y = Gemm <transB = 1> (f, d, e)",
        outputs="float[1, 5] y",
        weights="float[8, 8, 3, 3] w, float[5, 8] d, float[5] e",
    )
    precisions, sqnr_db = lower(text)
    assert precisions == ["int8", "int8"]
    assert sqnr_db > EXACT_DB


def test_concatenated_branches_run_in_int8(lower):
    text = net(
        f"{BLOCK.format('a', 'x', 'w')} {BLOCK.format('b', 'x', 'v')} c = Concat <axis = 1> (a, b) y = Conv (c, u)",
        outputs="float[1, 4, 12, 12] y",
        weights="float[8, 8, 3, 3] w, float[8, 8, 3, 3] v, float[4, 16, 1, 1] u",
    )
    precisions, sqnr_db = lower(text)
    assert set(precisions) == {"int8"}
    assert sqnr_db > EXACT_DB


FLOAT = {
    "a transposed convolution": net("y = ConvTranspose <pads = [1, 1, 1, 1]> (x, w)", weights="float[8, 8, 3, 3] w"),
    "a product of two activations": net("y = MatMul (x, x)", weights="float[1] unused"),
    "a recurrent cell": net(
        "y = LSTM <hidden_size = 6> (x, w, r)",
        inputs="float[4, 1, 6] x",
        outputs="float[4, 1, 1, 6] y",
        weights="float[1, 24, 6] w, float[1, 24, 6] r",
    ),
}


@pytest.mark.parametrize("kind", FLOAT)
def test_these_patterns_stay_in_float(lower, kind):
    precisions, sqnr_db = lower(FLOAT[kind])
    assert precisions == ["float32"]
    assert sqnr_db > 100


@pytest.mark.parametrize(
    ("nodes", "unsigned"),
    [
        (f"{BLOCK.format('a', 'x', 'w')} y = ConvTranspose <pads = [1, 1, 1, 1]> (a, v)", True),  # below 0 too
        (INT8["a transposed convolution behind a Relu"], False),  # int8 has its zero point at -128 there
        ("h = Relu (x) y = ConvTranspose <pads = [1, 1, 1, 1], group = 8> (h, grouped)", True),
    ],
)
def test_a_transposed_convolution_whose_kernel_would_be_float_has_no_pairs(nodes, unsigned):
    weights = "float[8, 8, 3, 3] w, float[8, 8, 3, 3] v, float[8, 1, 3, 3] grouped"
    model = read(net(nodes, weights=weights))
    assert [node.name for node in plan_int8(model, unsigned=unsigned).nodes if node.op_type == "ConvTranspose"] == []


def test_why_a_kind_of_layer_is_never_int8_is_said():
    assert set(int8_policy(SCHEME).float_ops) == {"LSTM", "GRU", "RNN", "ConvTranspose"}


def test_a_pair_stands_behind_a_pooled_average_because_it_is_rounded_all_the_same(lower):
    text = net(INT8["a pooled average"])
    assert {node.name: node.output for node in plan_int8(read(text)).nodes} == {"a": "a", "h": "h", "y": None}
    assert lower(text)[1] > EXACT_DB


def test_no_pair_stands_before_an_add_because_its_rounding_is_skipped(lower):
    text = net(INT8["a residual block"].replace("Add (b, r)", "Add (b, x)"))
    outputs = {node.name: node.output for node in plan_int8(read(text)).nodes}
    assert outputs == {"a": "r", "b": None, "c": "h", "y": None}
    assert lower(text)[1] > EXACT_DB
    assert lower(text, plan=plan_for_onnxruntime)[1] < 45


@pytest.mark.parametrize(("zero_point", "precision"), [(0, "int8"), (3, "float32")])
def test_weights_have_a_zero_point_of_zero_because_another_is_float(tmp_path, zero_point, precision):
    model = parse_model(
        f"""{HEAD} net (float[4, 16] x) => (float[4, 16] y)
        <float s = {{0.05}}, uint8 z = {{128}}, int8 zw = {{{zero_point}}}, int8[16, 16] w = {{{", ".join("7" * 256)}}}>
        {{ q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) v = DequantizeLinear (w, s, zw) y = MatMul (d, v) }}"""
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    [layer] = find_runtime("openvino").read_placement(path, 1, feed_normal(model)).layers
    assert layer.precision == precision


def test_biases_stay_in_float_and_zero_points_may_be_any():
    assert (SCHEME.int32_bias, SCHEME.symmetric, SCHEME.activation_type) == (False, False, "uint8")


SATURATE = """
import json, sys
import numpy as np
from pathlib import Path
from tests.lower.conftest import parse_model
from toolchain.agent.measure.session import open_session
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.openvino import int8_policy
found = {}
for features in ("avx2", "avx_vnni"):
    model = parse_model('<ir_version: 10, opset_import: ["": 21]> net (float[1, 64, 4, 4] x) => (float[1, 8, 4, 4] y) '
        '<float[8, 64, 1, 1] w> { [conv] y = Conv (x, w) }')
    model.graph.initializer[0].raw_data = np.ones((8, 64, 1, 1), np.float32).tobytes()
    policy = int8_policy(choose_scheme("x86_64", frozenset({features}), "auto"))
    lowered = policy.write(model, {"x": TensorRange(low=0.0, high=1.0)}, frozenset())
    path = Path(sys.argv[1])
    path.write_bytes(lowered.SerializeToString())
    output = open_session("openvino", path, 1).run({"x": np.ones((1, 64, 4, 4), np.float32)})["y"]
    found[features] = float(output.mean()) / 64
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 has sums that saturate at 16 bits")
def test_without_vnni_weights_of_8_bits_saturate_and_those_of_the_scheme_do_not(tmp_path):
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": os.pathsep.join(["", *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", SATURATE, tmp_path / "model.onnx"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    assert found["avx2"] == pytest.approx(1, abs=0.01)
    assert found["avx_vnni"] < 0.8


def test_every_layer_of_a_plain_model_is_found_in_the_profile(residual, images):
    times = profile_layers(residual, {"image": images["image"][:1]}, threads=1)
    assert len(times) == 3
    assert {"conv1", "conv2"} <= set(times)
    assert all(time >= 0 for time in times.values())
