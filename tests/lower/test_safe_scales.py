"""What an x86 CPU without VNNI multiplies exactly: read off ONNX Runtime's own kernels, emulated where this CPU has VNNI."""

import itertools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from tests.lower.conftest import parse_model
from toolchain.agent.measure.facts import read_facts
from toolchain.graph.session import HostSession
from toolchain.lower.affine import quantize_weight
from toolchain.lower.cpu_scheme import VNNI, choose_scheme
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.safe_scales import PAIR_SUM_MAX, find_safe_scales, find_saturating

WITHOUT_VNNI = choose_scheme("x86_64", frozenset({"avx2"}), "auto")
# qemu 7.2 and newer emulate AVX2 and no VNNI.
EMULATOR = ("qemu-x86_64-static", "-cpu", "Haswell")

# By name: operator, shape of one channel's weights (input channels first), attributes, rows or spatial size of the input.
LAYERS = {
    "conv 1x1, 8 channels": ("Conv", (8, 1, 1), {}),
    "conv 1x1, 7 channels": ("Conv", (7, 1, 1), {}),
    "conv 2x2, 3 channels": ("Conv", (3, 2, 2), {}),
    "conv 2x2, 4 channels": ("Conv", (4, 2, 2), {}),
    "conv 1x3, 5 channels": ("Conv", (5, 1, 3), {}),
    "conv 1-D, 3 channels": ("Conv", (3, 3), {}),
    "conv 3-D, 2 channels": ("Conv", (2, 2, 2, 2), {}),
    "conv one channel, 3x3": ("Conv", (1, 3, 3), {}),
    "matmul, one row": ("MatMul", (9,), {"rows": 1}),
    "matmul, 5 rows": ("MatMul", (17,), {"rows": 5}),
    "gemm, one row": ("Gemm", (8,), {"rows": 1}),
    "gemm, 33 rows": ("Gemm", (9,), {"rows": 33}),
    "gemm with transB": ("Gemm", (9,), {"rows": 2, "transB": 1}),
}


def find_emulator():
    """Return the command that runs a program on an x86 CPU without VNNI: none on such a CPU; skip where there is no way."""
    if platform.machine() != "x86_64":
        pytest.skip("the kernels are those of x86")
    if not VNNI & set(read_facts("onnxruntime").cpu_features):
        return ()
    if shutil.which(EMULATOR[0]) is None:
        pytest.skip(f"this CPU has VNNI, and {EMULATOR[0]} is not installed (apt-get install qemu-user-static)")
    return EMULATOR


def run_without_vnni(folder, cases):
    """Return the output of each case, name to (model, input x), by ONNX Runtime's kernels for CPUs without VNNI."""
    for name, (model, inputs) in cases.items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        np.save(folder / f"{name}.npy", inputs)
    command = [*find_emulator(), sys.executable, str(Path(__file__).with_name("run_models.py")), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return {name: np.load(folder / f"{name}.out.npy") for name in cases}


def build_layer(kind, values, inputs, attributes, output_scale):
    """Return one layer of int8 weights at scale 1 between pairs, which reads uint8 at scale 1."""
    pairs = {"one": np.float32(1), "no_input": np.uint8(0), "no_weight": np.int8(0), "w": values}
    pairs |= {"output_scale": np.float32(output_scale), "middle": np.uint8(128)}
    made = "wide" if kind == "Conv" else "y"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "one", "no_input"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "one", "no_input"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "one", "no_weight"], ["wd"]),
        helper.make_node(kind, ["xd", "wd"], [made], **attributes),
    ]
    if kind == "Conv":
        nodes.append(helper.make_node("QuantizeLinear", ["wide", "output_scale", "middle"], ["yq"]))
        nodes.append(helper.make_node("DequantizeLinear", ["yq", "output_scale", "middle"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in pairs.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def build_every_pair(kind, shape, options, value):
    """Return a layer with one output channel for every two elements along K, which hold `value` there and 0 elsewhere."""
    attributes = {name: number for name, number in options.items() if name != "rows"}
    size = int(np.prod(shape))
    rows = np.zeros((size * (size - 1) // 2, size), np.int8)
    for row, places in zip(rows, itertools.combinations(range(size), 2), strict=True):
        row[list(places)] = value
    if kind == "Conv":  # K is (kernel position, channel)
        values = np.moveaxis(rows.reshape(len(rows), *shape[1:], shape[0]), -1, 1)
        inputs = np.full((1, *shape), 255, np.float32)
    else:
        values = rows if "transB" in attributes else rows.T
        inputs = np.full((options["rows"], size), 255, np.float32)
    return build_layer(kind, np.ascontiguousarray(values), inputs, attributes, 600.0), inputs


def test_the_kernels_add_elements_2i_and_2i_plus_1_along_k_in_16_bits_and_no_others(tmp_path):
    cases = {
        f"{name} {value}": build_every_pair(kind, shape, options, value)
        for name, (kind, shape, options) in LAYERS.items()
        for value in (127, -127)
    }
    outputs = run_without_vnni(tmp_path, cases)
    for name, (model, _) in cases.items():
        kind, shape, _ = LAYERS[name.rsplit(" ", 1)[0]]
        channels = model.graph.initializer[3].dims
        sums = outputs[name].reshape(-1, max(channels))[0] if kind == "Conv" else outputs[name][0]
        exact = 255 * 2 * int(name.rsplit(" ", 1)[1])
        wrong = [
            places
            for places, found in zip(itertools.combinations(range(int(np.prod(shape))), 2), sums, strict=True)
            if abs(found - exact) > 1000
        ]
        assert wrong == [(index, index + 1) for index in range(0, int(np.prod(shape)) - 1, 2)], name


def test_depthwise_kernels_add_in_32_bits_and_those_of_two_outputs_a_channel_do_not(tmp_path):
    inputs = np.full((1, 8, 6, 6), 255, np.float32)
    full = {channels: np.full((channels, 1, 3, 3), 127, np.int8) for channels in (8, 16)}
    cases = {
        str(channels): (build_layer("Conv", values, inputs, {"group": 8}, 4000.0), inputs)
        for channels, values in full.items()
    }
    outputs = run_without_vnni(tmp_path, cases)
    assert np.abs(outputs["8"] - 255 * 127 * 9).max() <= 2000
    assert np.abs(outputs["16"] - 255 * 127 * 9).min() > 50_000


NETS = {
    "conv": "(float[1, 6, 3, 3] x) => (float[1, 16, 1, 1] y) <float[16, 6, 3, 3] w, float[16] b> {[l] y = Conv(x, w, b)}",
    "grouped": "(float[1, 8, 2, 2] x) => (float[1, 16, 1, 1] y) <float[16, 4, 2, 2] w> {[l] y = Conv<group = 2>(x, w)}",
    "depthwise": "(float[1, 8, 3, 3] x) => (float[1, 8, 1, 1] y) <float[8, 1, 3, 3] w> {[l] y = Conv<group = 8>(x, w)}",
    "gemm": "(float[1, 30] x) => (float[1, 16] y) <float[16, 30] w, float[16] b> {[l] y = Gemm<transB = 1>(x, w, b)}",
    "matmul": "(float[1, 30] x) => (float[1, 16] y) <float[30, 16] w> {[l] y = MatMul(x, w)}",
}


def find_worst_input(net, weight):
    """Return the input that sums all products of one sign in the channel whose neighbours pass its own 127 steps most."""
    channels = weight.T if net == "matmul" else weight
    largest = np.abs(channels).reshape(len(channels), -1).max(axis=1)
    worst = channels[np.argmax(find_safe_scales(channels, axis=0) / largest)]
    if net == "depthwise":
        return (channels > 0).astype(np.float32)[None, :, 0]
    groups = 2 if net == "grouped" else 1
    return np.concatenate([worst > 0] * groups).astype(np.float32)[None]


def test_layers_are_exact_on_their_worst_input_at_safe_scales_and_wrong_at_scales_of_8_bits(tmp_path):
    ranges = {"x": TensorRange(0.0, 1.0), "y": TensorRange(-4.0, 4.0)}
    plain = Scheme("uint8", symmetric=False, weight_bits=8, reason="saturates")
    cases = {}
    for net, text in NETS.items():
        model = parse_model(f'<ir_version: 10, opset_import: ["": 21]> net {text}')
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
        weight = np.random.default_rng(0).uniform(-0.15, 0.15, tuple(tensor.dims)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(weight, "w"))
        for name, scheme in (("safe", WITHOUT_VNNI), ("plain", plain)):
            lowered = int8_policy(scheme).write(model, ranges, frozenset())
            cases[f"{net} {name}"] = lowered, find_worst_input(net, weight)
    outputs = run_without_vnni(tmp_path, cases)
    errors = {
        name: np.abs(outputs[name] - HostSession(model).run({"x": inputs})["y"]).max()
        for name, (model, inputs) in cases.items()
    }
    # Sums on either side of half a step of the output may round to either neighbour.
    assert max(errors[f"{net} safe"] for net in NETS) <= 8 / 255 + 1e-6
    assert min(errors[f"{net} plain"] for net in NETS if net != "depthwise") > 2 * 8 / 255


def multiply_in_16_bits(inputs, weights):
    """Return what vpmaddubsw and vpmaddwd make of uint8 (K,) and int8 (K,): pairs saturate at int16, their sum is int32."""
    pairs = (inputs.astype(np.int32) * weights).reshape(-1, 2).sum(axis=1)
    return int(np.clip(pairs, -(2**15), 2**15 - 1).sum())


weights_of_channels = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-1e4, 1e4, width=32)
)


@given(weight=weights_of_channels)
def test_no_input_saturates_what_is_quantized_at_safe_scales(weight):
    scales = find_safe_scales(weight, axis=0)
    values = quantize_weight(
        weight, axis=0, bits=8, input_scale=np.float32(1), bias=None, least_scales=scales
    ).values.astype(np.int32)
    assert not find_saturating(values.astype(np.int8), axis=0).any()
    padded = np.pad(values, [(0, 0), (0, values.shape[1] % 2)])
    for row in padded:
        for inputs in (np.where(row > 0, 255, 0), np.where(row < 0, 255, 0), np.full(row.shape, 255)):
            assert multiply_in_16_bits(inputs, row) == int((inputs * row).sum())


@pytest.mark.parametrize("pair", list(itertools.product((-127, -65, -64, -1, 0, 1, 63, 64, 65, 127), repeat=2)))
def test_a_pair_saturates_for_some_input_exactly_if_it_sums_to_more_than_the_limit(pair):
    row = np.array(pair, np.int32)
    corners = [np.array(corner) for corner in itertools.product((0, 255), repeat=2)]
    wrong = any(multiply_in_16_bits(inputs, row) != int((inputs * row).sum()) for inputs in corners)
    assert wrong == bool(find_saturating(row[None].astype(np.int8), axis=0)[0])
    assert wrong == (abs(sum(pair)) > PAIR_SUM_MAX)


def test_a_channel_without_large_neighbours_keeps_all_8_bits_and_one_of_equal_ones_about_7():
    weight = np.array([[1.0, -1.0, 0.1, 0.1], [1.0, 1.0, 0.1, 0.1]], np.float32)
    safe = find_safe_scales(weight, axis=0)
    quantized = quantize_weight(weight, axis=0, bits=8, input_scale=np.float32(1), bias=None, least_scales=safe)
    assert np.abs(quantized.values).max(axis=1).tolist() == [127, 64]


def test_a_layer_of_zeros_has_a_safe_scale_of_zero_and_is_written_with_one_that_divides():
    weight = np.zeros((2, 4), np.float32)
    safe = find_safe_scales(weight, axis=0)
    quantized = quantize_weight(weight, axis=0, bits=8, input_scale=np.float32(1), bias=None, least_scales=safe)
    assert safe.tolist() == [0.0, 0.0]
    assert (quantized.scales > 0).all()
    assert not quantized.values.any()


def test_the_scale_of_a_convolution_follows_the_order_of_its_kernel_and_not_that_of_its_file():
    """In the file (M, C, kernel) the large weights are neighbours; along K, with two channels, they are not."""
    weight = np.zeros((1, 2, 3), np.float32)
    weight[0, 0, :2] = 1.0
    assert find_safe_scales(weight, axis=0).tolist() == pytest.approx([1 / 128], rel=1e-5)
