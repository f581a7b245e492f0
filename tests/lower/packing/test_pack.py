import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tests.lower.conftest import observe_ranges, parse_model, run_model
from toolchain.lower.packing import pack_weights
from toolchain.lower.qdq import write_qdq
from toolchain.lower.runtimes.onnxruntime import plan_int8

NODES_BYTES = 1000
"""More than the nodes and shared constants of any form take."""


def make_model(weight, opset=21):
    """A model that returns its weight, plus an input of zeros so that it has one."""
    dtype = helper.np_dtype_to_tensor_dtype(weight.dtype)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["weight"], ["y"], "read")],
        "net",
        [],
        [helper.make_tensor_value_info("y", dtype, weight.shape)],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def pack_and_read(weight):
    """Return the one record, and the weight as the specification's own evaluator expands it."""
    model, (record,) = pack_weights(make_model(weight))
    onnx.checker.check_model(model, full_check=True)
    assert model.ByteSize() < make_model(weight).ByteSize()
    return record, ReferenceEvaluator(model).run(None, {})[0]


def draw(shape, values, seed=0, zeros=0.0):
    generator = np.random.default_rng(seed)
    table = generator.standard_normal(values).astype(np.float32)
    weight = table[generator.integers(0, values, shape)]
    weight[generator.random(shape) < zeros] = 0
    return weight


@given(
    values=st.integers(1, 256),
    shape=st.sampled_from([(1031,), (37, 41), (16, 7, 3, 5), (8, 16, 3, 3)]),
    seed=st.integers(0, 1000),
    zeros=st.sampled_from([0.0, 0.3, 0.9]),
)
def test_a_weight_of_few_values_comes_back_bit_for_bit(values, shape, seed, zeros):
    weight = draw(shape, values, seed, zeros)
    found, records = pack_weights(make_model(weight))
    np.testing.assert_array_equal(ReferenceEvaluator(found).run(None, {})[0].view(np.uint32), weight.view(np.uint32))
    if values <= 16:
        assert records


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_codebook_takes_its_bits_a_weight(bits):
    weight = draw((64, 64, 3, 3), 2**bits)
    record, found = pack_and_read(weight)
    np.testing.assert_array_equal(found, weight)
    assert (record.form, record.bits, record.zeros_left_out) == ("codebook", bits, False)
    padded = {1: 1, 2: 2, 3: 64 / 21, 4: 4, 5: 64 / 12, 6: 6.4, 7: 64 / 9, 8: 8}[bits]
    assert record.bytes_after < weight.size * padded / 8 + 4 * 2**bits + NODES_BYTES


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bits", [3, 4, 8])
def test_a_grid_per_channel_is_stored_as_integers_and_scales(axis, bits):
    generator = np.random.default_rng(1)
    scales = (0.01 + generator.random((60, 1) if axis == 0 else (1, 60))).astype(np.float32)
    shape = (60, 300) if axis == 0 else (300, 60)
    limit = 2 ** (bits - 1) - 1
    weight = generator.integers(-limit, limit + 1, shape).astype(np.float32) * scales
    record, found = pack_and_read(weight + 0.0)
    np.testing.assert_array_equal(found, weight)
    assert (record.form, record.bits, record.values) == ("channel grid", bits, len(np.unique(weight)))


def test_a_codebook_per_channel_serves_where_scales_were_folded_in_afterwards():
    generator = np.random.default_rng(2)
    weight = draw((20, 400), 8) * generator.random((20, 1)).astype(np.float32)
    record, found = pack_and_read(weight)
    np.testing.assert_array_equal(found, weight)
    assert (record.form, record.bits, record.values) == ("channel codebook", 3, 8)


def test_pruned_weights_are_stored_without_their_zeros():
    generator = np.random.default_rng(3)
    weight = generator.standard_normal((64, 50)).astype(np.float32)
    weight[generator.random((64, 50)) < 0.7] = 0
    record, found = pack_and_read(weight)
    np.testing.assert_array_equal(found, weight)
    assert (record.form, record.bits, record.zeros_left_out) == ("values", None, True)
    assert record.bytes_after < (weight != 0).sum() * 4 + weight.size / 8 + NODES_BYTES


def test_two_of_four_zeros_are_left_out():
    weight = np.random.default_rng(4).standard_normal((64, 16, 4)).astype(np.float32)
    np.put_along_axis(weight, np.abs(weight).argsort(axis=2)[:, :, :2], 0, axis=2)
    record, found = pack_and_read(weight.reshape(64, 64))
    np.testing.assert_array_equal(found, weight.reshape(64, 64))
    assert record.zeros_left_out
    assert record.bytes_after < (0.5 + 1 / 32) * weight.nbytes + NODES_BYTES


@pytest.mark.parametrize("per_channel", [False, True])
def test_pruned_and_quantized_weights_gain_from_both(per_channel):
    generator = np.random.default_rng(5)
    scales = generator.random((64, 1)).astype(np.float32) if per_channel else np.float32(0.1)
    weight = generator.integers(-7, 8, (64, 100)).astype(np.float32) * scales
    weight[generator.random(weight.shape) < 0.8] = 0
    record, found = pack_and_read(weight + 0.0)
    np.testing.assert_array_equal(found, weight)
    assert (record.zeros_left_out, record.bits) == (True, 4)
    assert record.bytes_after < weight.size * (1 + 0.22 * 4) / 8 + 4 * 64 + NODES_BYTES


def test_negative_zeros_become_zeros():
    weight = draw((40, 40), 3)
    weight[0] = -0.0
    _, found = pack_and_read(weight)
    np.testing.assert_array_equal(found, weight)
    assert not np.signbit(found[found == 0]).any()


@pytest.mark.parametrize(
    "weight",
    [
        np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32),
        np.random.default_rng(0).standard_normal((512, 3)).astype(np.float32),
        np.random.default_rng(0).integers(-127, 128, (64, 64)).astype(np.int8),
        np.random.default_rng(0).integers(-63, 64, (64, 64)).astype(np.int8),
        draw((15, 17), 2),
        np.zeros((64, 64), np.float16),
    ],
    ids=["plain", "few a channel", "int8", "7 bits", "small", "float16"],
)
def test_what_would_not_be_smaller_is_left_alone(weight):
    model = make_model(weight)
    result, records = pack_weights(model)
    assert result is model
    assert records == ()


def test_an_opset_without_the_operators_is_left_alone():
    model = make_model(draw((64, 64), 4), opset=12)
    assert pack_weights(model) == (model, ())


def test_a_packed_model_can_be_packed_again():
    weight = draw((64, 64), 200, zeros=0.0)
    weight[np.random.default_rng(6).random((64, 64)) < 0.5] = 0
    model, _ = pack_weights(make_model(weight))
    model.graph.initializer.append(numpy_helper.from_array(draw((64, 64), 4), "other"))
    again, records = pack_weights(model)
    assert [record.name for record in records] == ["other"]
    onnx.checker.check_model(again, full_check=True)
    np.testing.assert_array_equal(ReferenceEvaluator(again).run(None, {})[0], weight)


NET = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 16, 8, 8] image) => (float[n, 64] scores)
<float[32, 16, 3, 3] w1, float[32] b1, float[64, 32] w2, float[64] b2, int64[2] flat = {0, -1}>
{
    [conv] c = Conv<pads = [1, 1, 1, 1]>(image, w1, b1)
    [relu] r = Relu(c)
    [pool] p = GlobalAveragePool(r)
    [reshape] f = Reshape(p, flat)
    [gemm] scores = Gemm<transB = 1>(f, w2, b2)
}
"""


def make_net():
    """A net whose weights have 4 bits, a grid for each channel."""
    model = parse_model(NET)
    for tensor in model.graph.initializer:
        if tensor.name in {"w1", "w2"}:
            weight = numpy_helper.to_array(tensor)
            scale = np.abs(weight).reshape(len(weight), -1).max(axis=1).reshape(-1, *[1] * (weight.ndim - 1)) / 7
            scale = scale.astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(weight / scale).astype(np.float32) * scale, tensor.name))
    return model


def list_ops(model, path):
    """Return the operators of the graph that the runtime runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_runtime_runs_the_same_graph_as_without_packing(precision, scheme, tmp_path):
    model = make_net()
    feeds = {"image": np.random.default_rng(0).standard_normal((4, 16, 8, 8)).astype(np.float32)}
    if precision == "int8":
        plan = plan_int8(model)
        model = write_qdq(model, plan, observe_ranges(model, feeds, plan.tensors), scheme)
    packed, records = pack_weights(model)
    assert {record.bits for record in records} == {4}
    assert len(records) == 2
    ops = list_ops(packed, tmp_path / "packed.onnx")
    assert ops == list_ops(model, tmp_path / "plain.onnx")
    assert ("QLinearConv" in ops) == (precision == "int8")
    np.testing.assert_array_equal(run_model(packed, feeds)["scores"], run_model(model, feeds)["scores"])
