"""A weight that several nodes read is stored once, in int8 too."""

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.lower.conftest import observe_ranges, parse_model, run_model
from toolchain.agent.measure.parity import compare
from toolchain.lower.qdq import write_qdq
from toolchain.lower.runtimes.onnxruntime import plan_int8
from toolchain.lower.tensorrt.policy import plan_int8 as plan_for_tensorrt
from toolchain.lower.tensorrt.policy import tensorrt_policy

HEAD = '<ir_version: 10, opset_import: ["": 21]> '

TIED = (
    HEAD
    + """tied (int64[n, 4] ids) => (float[n, 4, 200] y) <float[200, 32] emb, float[32, 32] w> {
    [gather] e = Gather(emb, ids) [inner] h = MatMul(e, w) [act] r = Relu(h)
    [turn] t = Transpose<perm = [1, 0]>(emb) [project] y = MatMul(r, t) }"""
)

UNROLLED = (
    HEAD
    + "unrolled (float[n, 128] x0) => (float[n, 128] y) <float[128, 128] w, float[128] b> {{ {} {} }}".format(
        " ".join(f"[gemm{i}] h{i} = Gemm<transB = 1>(x{i}, w, b) [act{i}] x{i + 1} = Tanh(h{i})" for i in range(8)),
        "[last] y = Identity(x8)",
    )
    .replace("{{", "{")
    .replace("}}", "}")
)

CONVS = (
    HEAD
    + """convs (float[n, 16, 8, 8] x) => (float[n, 16, 8, 8] y) <float[16, 16, 3, 3] w, float[16] b> {
    [one] c = Conv<pads = [1, 1, 1, 1]>(x, w, b) [act] r = Relu(c) [two] d = Conv<pads = [1, 1, 1, 1]>(r, w, b)
    [act2] s = Relu(d) [three] y = ConvTranspose<pads = [1, 1, 1, 1]>(s, w) }"""
)

BRANCH = (
    HEAD
    + """branch (float[n, 16, 8, 8] x, bool flag) => (float[n, 16, 8, 8] y) <float[16, 16, 3, 3] w> {
    [one] c = Conv<pads = [1, 1, 1, 1]>(x, w) [act] r = Relu(c)
    [choice] y = If (flag) <then_branch = t () => (float[n, 16, 8, 8] p) { [inner] p = Conv<pads = [1, 1, 1, 1]>(r, w) },
                            else_branch = e () => (float[n, 16, 8, 8] q) { [other] q = Relu(r) }> }"""
)


@pytest.fixture
def inputs():
    """Return samples of every input that these models have."""
    rng = np.random.default_rng(3)
    return {
        "ids": rng.integers(0, 200, (2, 4)),
        "x0": rng.normal(size=(2, 128)).astype(np.float32),
        "x": rng.normal(size=(2, 16, 8, 8)).astype(np.float32),
        "flag": np.array(True),
    }


def lower(model, inputs, scheme, keep_float=frozenset(), plan=plan_int8):
    chosen = plan(model, keep_float)
    feeds = {value.name: inputs[value.name] for value in model.graph.input}
    quantized = write_qdq(model, chosen, observe_ranges(model, feeds, chosen.tensors), scheme)
    onnx.checker.check_model(quantized, full_check=True)
    return quantized, min(row.sqnr_db for row in compare(run_model(model, feeds), run_model(quantized, feeds)))


def count_bytes(model):
    return sum(len(tensor.raw_data) or tensor.ByteSize() for tensor in model.graph.initializer)


@pytest.mark.parametrize("text", [TIED, UNROLLED, CONVS, BRANCH])
@pytest.mark.parametrize("runtime", ["onnxruntime", "tensorrt"])
def test_a_shared_weight_is_stored_once_and_the_file_is_smaller(text, runtime, inputs, scheme):
    model = parse_model(text)
    if runtime == "tensorrt":
        policy = tensorrt_policy(float16=False, finish=lambda made: made)
        quantized, sqnr_db = lower(model, inputs, policy.scheme, plan=plan_for_tensorrt)
    else:
        quantized, sqnr_db = lower(model, inputs, scheme)
    assert sqnr_db > 20
    assert sum(len(t.dims) > 1 and t.data_type == onnx.TensorProto.INT8 for t in quantized.graph.initializer) == (
        2 if text is TIED else 1
    )
    assert count_bytes(quantized) < 0.5 * count_bytes(model)


def test_nodes_of_the_same_weight_each_compute_in_int8(inputs, scheme, tmp_path):
    quantized, _ = lower(parse_model(UNROLLED), inputs, scheme)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(quantized.SerializeToString(), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node]
    assert operators.count("QGemm") == 8
    assert "Gemm" not in operators


@pytest.mark.parametrize("plan", [plan_int8, plan_for_tensorrt])
def test_a_layer_in_float_takes_those_that_share_its_weight_along(plan):
    model = parse_model(CONVS)
    assert {node.name for node in plan(model, frozenset()).nodes if node.weight} == {"one", "two"}
    assert [node.name for node in plan(model, frozenset({"two"})).nodes if node.weight] == []
    assert plan(model, frozenset()).deciding_layers == {"one": ("one", "two")}


def test_a_transposed_weight_that_nobody_else_reads_is_int8_too(inputs, scheme):
    text = (
        HEAD
        + """g (float[n, 128] x0) => (float[n, 32] y) <float[32, 128] w> {
        [turn] t = Transpose<perm = [1, 0]>(w) [m] y = MatMul(x0, t) }"""
    )
    quantized, sqnr_db = lower(parse_model(text), inputs, scheme)
    assert sqnr_db > 30
    assert count_bytes(quantized) < 0.5 * 32 * 128 * 4
