import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.learned_ranges import check_kept, drop_ranges, read_ranges, remove_pairs, restore_pairs, take_pairs

# As PyTorch's exporter writes it: a pair at the input, one at a tensor with two readers, one at the output.
PAIRS = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 4] x) => (float[n, 4] y)
<float s1 = {0.02}, uint8 z1 = {128}, float s2 = {0.01}, uint8 z2 = {0}, float s3 = {0.05}, uint8 z3 = {100}>
{
    xq = QuantizeLinear(x, s1, z1)
    xd = DequantizeLinear(xq, s1, z1)
    a = Relu(xd)
    aq = QuantizeLinear(a, s2, z2)
    ad = DequantizeLinear(aq, s2, z2)
    b = Neg(ad)
    c = Add(b, xd)
    e = Sub(c, ad)
    eq = QuantizeLinear(e, s3, z3)
    y = DequantizeLinear(eq, s3, z3)
}
"""


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.fixture
def paired():
    return parser.parse_model(PAIRS)


@pytest.fixture
def taken(paired):
    return take_pairs(paired, count=3, weight_bits=8)


def test_pairs_become_the_float_graph_and_an_entry(taken):
    onnx.checker.check_model(taken, full_check=True)
    assert [node.op_type for node in taken.graph.node] == ["Relu", "Neg", "Add", "Sub"]
    assert not taken.graph.initializer
    learned = read_ranges(taken)
    assert learned.weight_bits == 8
    expected = {"x": (-2.56, 2.54), "a": (0, 2.55), "y": (-5.0, 7.75)}
    assert learned.tensors.keys() == expected.keys()
    for name, bounds in expected.items():
        np.testing.assert_allclose(learned.tensors[name], bounds, rtol=1e-6)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    np.testing.assert_allclose(run(taken, x), -2 * np.maximum(x, 0) + x, rtol=1e-5)


def test_pairs_that_are_restored_compute_what_was_trained(paired, taken):
    x = np.random.default_rng(0).normal(size=(64, 4), scale=3).astype(np.float32)
    restored = restore_pairs(taken, read_ranges(taken))
    onnx.checker.check_model(restored, full_check=True)
    np.testing.assert_array_equal(run(restored, x), run(paired, x))


@given(st.floats(2.0**-20, 2.0**14, width=32), st.integers(0, 255))
def test_scale_and_zero_point_survive_the_way(scale, zero_point):
    model = parser.parse_model(PAIRS)
    for name, value in (("s1", np.float32(scale)), ("z1", np.uint8(zero_point))):
        next(t for t in model.graph.initializer if t.name == name).CopyFrom(
            numpy_helper.from_array(np.asarray(value), name)
        )
    taken = take_pairs(model, count=3, weight_bits=8)
    restored = restore_pairs(taken, read_ranges(taken))
    values = {t.name: numpy_helper.to_array(t).item() for t in restored.graph.initializer}
    assert (values["x_rounded_scale"], values["x_rounded_zero_point"]) == (np.float32(scale), zero_point)


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_pairs_than_ranges_is_an_error(paired, count):
    with pytest.raises(ToolchainError, match="lost ranges") as caught:
        take_pairs(paired, count=count, weight_bits=8)
    assert caught.value.code is ExitCode.PARITY


def test_pairs_with_nothing_between_them_are_all_of_the_tensor_before_them():
    """As a Dropout between two of them leaves them, and two calls that compute the same."""
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["": 21]>
        net (float[n, 4] x) => (float[n, 4] y)
        <float s1 = {1}, float s2 = {2}, float s3 = {3}, uint8 z = {0}>
        {
            a = Relu(x)
            q1 = QuantizeLinear(a, s1, z)
            d1 = DequantizeLinear(q1, s1, z)
            q2 = QuantizeLinear(d1, s2, z)
            d2 = DequantizeLinear(q2, s2, z)
            q3 = QuantizeLinear(a, s3, z)
            d3 = DequantizeLinear(q3, s3, z)
            y = Add(d2, d3)
        }
        """
    )
    plain, ranges = remove_pairs(model)
    assert [(node.op_type, list(node.input)) for node in plain.graph.node] == [("Relu", ["x"]), ("Add", ["a", "a"])]
    assert ranges == {"a": [(0, 255), (0, 510), (0, 765)]}
    with pytest.raises(ToolchainError, match="lost ranges"):  # a learned range each has none
        take_pairs(model, count=3, weight_bits=8)


def test_half_a_pair_is_an_error(paired):
    del paired.graph.node[1].input[1:]
    paired.graph.node[1].op_type = "Cast"
    with pytest.raises(ToolchainError, match="lost ranges"):
        remove_pairs(paired)


def test_a_pass_that_loses_a_tensor_or_the_entry_is_refused(taken):
    renamed = onnx.ModelProto()
    renamed.CopyFrom(taken)
    renamed.graph.node[0].output[0] = "z"
    check_kept(taken, taken, name="pass p")
    for after, lost in ((renamed, "found a"), (drop_ranges(taken), "the entry itself")):
        with pytest.raises(ToolchainError, match=lost) as caught:
            check_kept(taken, after, name="pass p")
        assert caught.value.code is ExitCode.PARITY


def test_a_pass_on_a_model_without_learned_ranges_is_not_asked(taken):
    plain = drop_ranges(taken)
    assert read_ranges(plain) is None
    assert drop_ranges(plain) is plain
    check_kept(plain, parser.parse_model(PAIRS), name="pass p")


@pytest.mark.parametrize("text", ["{", '{"tensors": {"nowhere": [0, 1]}, "weight_bits": 8}', '{"tensors": {"x": [0]}}'])
def test_a_corrupt_entry_is_refused(taken, text):
    broken = drop_ranges(taken)
    helper.set_model_props(broken, {"edge_toolchain.ranges": text})
    with pytest.raises(ToolchainError, match="learned range") as caught:
        read_ranges(broken)
    assert caught.value.code is ExitCode.MALFORMED
