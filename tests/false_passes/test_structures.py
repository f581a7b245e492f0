"""Structures of ONNX files that were lowered with exit 0 and were larger, slower or refused by the runtime."""

import importlib.util
import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

HEAD = '<ir_version: 8, opset_import: ["": 17]> '

TIED = """tied (int64[N, 4] ids) => (float[N, 4, 500] y) { e = Gather(emb, ids) h = MatMul(e, w) r = Relu(h)
    t = Transpose<perm = [1, 0]>(emb) y = MatMul(r, t) }"""
SHARED = (
    "shared (float[N, 128] x0) => (float[N, 128] x12) {{ {} }}".format(
        " ".join(f"h{i} = Gemm<transB = 1>(x{i}, w, b) x{i + 1} = Tanh(h{i})" for i in range(12))
    )
    .replace("{{", "{")
    .replace("}}", "}")
)
POOLED = """pooled (float[N, 3, 16, 16] x) => (float[N, 3, 16, 16] y) {
    p = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x) y = Relu(p) }"""
QUANTIZED = """quantized (float[N, 3, 16, 16] x) => (float[N, 8, 16, 16] y) { i = QuantizeLinear(x, s, z)
    d = DequantizeLinear(i, s, z) k = DequantizeLinear<axis = 0>(wq, ws, wz) b = DequantizeLinear<axis = 0>(bq, ws)
    c = Conv(d, k, b) j = QuantizeLinear(c, s, z0) y = DequantizeLinear(j, s, z0) }"""


def write(folder, graph, tensors, samples):
    """Write a model and its calibration data; return their paths."""
    model = parser.parse_model(HEAD + graph)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items())
    onnx.save(model, folder / "user.onnx")
    np.savez(folder / "data.npz", **samples)
    return folder / "user.onnx", folder / "data.npz"


def lower(project, paths, target, precision):
    model, data = paths
    out = project.folder / f"{target}-{precision}"
    result = project.run("lower", model, "--target", target, "--precision", precision, "--calibration", data, "-o", out)
    assert (result.code, result.stderr) == (0, result.stderr)
    return out / "model.onnx", json.loads((out / "lowering.json").read_text(encoding="utf-8"))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def tied(project, rng):
    tensors = {
        "emb": rng.normal(size=(500, 64)).astype(np.float32),
        "w": rng.normal(size=(64, 64)).astype(np.float32) / 8,
    }
    return write(project.folder, TIED, tensors, {"ids": rng.integers(0, 500, (32, 4))})


@pytest.mark.parametrize(
    ("target", "precision", "share_max"),
    [("cpu", "int8", 1.05), ("cpu", "float32", 1.05), ("jetson", "int8", 0.4), ("jetson", "fp16", 0.6)],
)
def test_a_tied_embedding_is_not_larger_than_the_users_file(project, tied, target, precision, share_max):
    lowered, _ = lower(project, tied, target, precision)
    assert lowered.stat().st_size < share_max * tied[0].stat().st_size


def test_a_weight_of_many_layers_is_not_stored_once_for_each(project, rng):
    tensors = {
        "w": rng.normal(size=(128, 128)).astype(np.float32) / 12,
        "b": rng.normal(size=128).astype(np.float32),
    }
    paths = write(project.folder, SHARED, tensors, {"x0": rng.normal(size=(32, 128)).astype(np.float32)})
    lowered, document = lower(project, paths, "jetson", "int8")
    assert len(document["layers"]) == 12
    assert lowered.stat().st_size < 0.6 * paths[0].stat().st_size


def test_a_model_that_pools_averages_is_shipped_in_the_opset_of_the_fast_kernel(project, rng):
    paths = write(project.folder, POOLED, {}, {"x": rng.normal(size=(8, 3, 16, 16)).astype(np.float32)})
    lowered, document = lower(project, paths, "cpu", "float32")
    assert onnx.load(lowered).opset_import[0].version <= 18
    assert document["opset"]["version"] <= 18
    assert document["optimization"]["kept"] or "the user's" in document["optimization"]["reason"]


def test_pairs_of_others_are_rewritten_by_the_rules_of_tensorrt(project, rng):
    tensors = {
        "s": np.float32(0.04),
        "z": np.uint8(120),
        "z0": np.uint8(0),
        "wq": rng.integers(-127, 127, (8, 3, 1, 1)).astype(np.int8),
        "ws": np.full(8, 0.01, np.float32),
        "wz": np.zeros(8, np.int8),
        "bq": rng.integers(-99, 99, 8).astype(np.int32),
    }
    paths = write(project.folder, QUANTIZED, tensors, {"x": rng.normal(size=(32, 3, 16, 16)).astype(np.float32)})
    lowered, document = lower(project, paths, "jetson", "int8")
    assert document["came_quantized"]["requantized"] == ["d", "y"]
    assert document["parsed_by_nvidia"] == (importlib.util.find_spec("tensorrt_rtx") is not None)
    types = {tensor.data_type for tensor in onnx.load(lowered).graph.initializer}
    assert types.isdisjoint({onnx.TensorProto.UINT8, onnx.TensorProto.INT32})
    passed, document = lower(project, paths, "cpu", "int8")
    assert document["came_quantized"] == {"passed_through": True}
    assert [layer["op"] for layer in document["layers"]] == ["Conv"]
    assert passed.is_file()


def test_weights_that_are_listed_as_inputs_are_constants(project, rng):
    tensors = {"w": rng.normal(size=(64, 64)).astype(np.float32), "b": rng.normal(size=64).astype(np.float32)}
    graph = "g (float[N, 64] x) => (float[N, 64] y) { y = Gemm(x, w, b) }"
    paths = write(project.folder, graph, tensors, {"x": rng.normal(size=(32, 64)).astype(np.float32)})
    model = onnx.load(paths[0])
    for name, value in tensors.items():
        model.graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape))
    onnx.save(model, paths[0])
    lowered, document = lower(project, paths, "jetson", "int8")
    assert [value.name for value in onnx.load(lowered).graph.input] == ["x"]
    assert [layer["op"] for layer in document["layers"]] == ["Gemm"]


def test_a_scalar_input_is_fed_and_layers_in_a_loop_are_listed(project, rng):
    graph = """g (float[N, 32] x, int64 steps, bool go) => (float[N, 32] y) { h = MatMul(x, v)
        y = Loop(steps, go, h) <body = b (int64 i, bool c, float[N, 32] s) => (bool d, float[N, 32] t) {
        d = Identity(c) t = MatMul(s, w) }> }"""
    tensors = {name: rng.normal(size=(32, 32)).astype(np.float32) / 6 for name in ("v", "w")}
    samples = {
        "x": rng.normal(size=(16, 32)).astype(np.float32),
        "steps": np.full(16, 2),
        "go": np.full(16, fill_value=True),
    }
    _, document = lower(project, write(project.folder, graph, tensors, samples), "jetson", "int8")
    (inner,) = [layer for layer in document["kept_in_float"] if "inside the body of" in layer["reason"]]
    assert inner["op"] == "MatMul"


def test_an_output_that_is_no_tensor_is_refused_by_name(project, rng):
    graph = """g (float[N, 8] x) => (seq(float[N, K]) parts) { parts = SplitToSequence<axis = 1>(x, at) }"""
    samples = {"x": rng.normal(size=(4, 8)).astype(np.float32)}
    model, data = write(project.folder, graph, {"at": np.int64([3, 5])}, samples)
    arguments = ("--target", "cpu", "--precision", "int8", "--calibration", data, "-o", project.folder / "o")
    result = project.run("lower", model, *arguments)
    assert result.code == 23
    assert "parts" in result.stderr


TRAINING = """training (float[N, 3, 8, 8] x) => (float[N, 4] y) { c = Conv(x, k) p = GlobalAveragePool(c) f = Flatten(p)
    y, m1, v1 = BatchNormalization<training_mode = 1>(f, s, b, m, v) }"""


def test_a_file_that_was_exported_in_training_mode_is_refused(project, rng):
    """A single sample is its own mean: every answer is the bias, which int8 gives too."""
    tensors = {"k": rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "b": rng.normal(size=4).astype(np.float32)}
    tensors |= {"s": np.ones(4, np.float32), "m": np.zeros(4, np.float32), "v": np.ones(4, np.float32)}
    samples = {"x": rng.normal(size=(32, 3, 8, 8)).astype(np.float32)}
    model, data = write(project.folder, TRAINING, tensors, samples)
    result = project.run("deploy", model, "--calibration", data, "--target", "board")
    project.assert_stopped(result, 2, "usage")
    assert "the model's answer for a sample depends on the samples beside it" in result.stderr
    assert "model.eval()" in result.stderr
