"""What is said of a graph is what it has, counted by hand here; what cannot be known is not said."""

import onnx
import onnx.parser

from tests.conftest import build_model
from toolchain.graph.facts import ActivationFacts, LayerFacts, TensorFacts, read_facts


def read(text):
    return read_facts(onnx.parser.parse_model(text))


def test_the_facts_of_a_small_net():
    facts = read_facts(onnx.load_from_string(build_model("float32")))
    assert facts.inputs == (TensorFacts(name="input", dtype="float32", shape=("N", 3, 8, 8)),)
    assert facts.outputs == (TensorFacts(name="logits", dtype="float32", shape=("N", 4)),)
    assert (facts.nodes, facts.opset, facts.ir_version) == (5, {"ai.onnx": 17}, 9)
    assert facts.operators == {"Conv": 1, "Relu": 1, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1}
    assert facts.parameters == 8 * 3 * 9 + 4 * 8
    assert facts.weights_bytes == 4 * facts.parameters
    # Conv: 8 x 8 places, 8 channels, 27 products each. Gemm: 8 numbers to 4.
    assert [layer.macs for layer in facts.layers] == [8 * 64 * 27, 32]
    assert facts.macs == 8 * 64 * 27 + 32
    assert facts.uncounted == ()


def test_memory_is_that_of_one_sample():
    facts = read_facts(onnx.load_from_string(build_model("float32")))
    hidden = ActivationFacts(name="hidden", shape=(1, 8, 8, 8), size_bytes=2048)
    assert facts.largest_activations[0] == hidden
    assert facts.live_bytes == 2 * 2048  # what Relu reads and what it writes


def test_types_of_eight_bits_count_as_such():
    facts = read(
        """<ir_version: 9, opset_import: ["" : 17]> net (float[1,100] x, float s, uint8 z) => (uint8[1,100] y)
        { y = QuantizeLinear (x, s, z) }"""
    )
    assert [(each.name, each.size_bytes) for each in facts.largest_activations] == [("y", 100)]


def test_an_axis_that_is_not_the_first_leaves_macs_and_memory_unknown():
    facts = read(
        '<ir_version: 9, opset_import: ["" : 17]> net (float[N,3,H,W] x, float[8,3,3,3] w) => (float[N,8,A,B] y)'
        "{ y = Conv (x, w) }"
    )
    assert (facts.macs, facts.live_bytes) == (0, None)
    assert [layer.macs for layer in facts.uncounted] == [None]


def test_a_layer_in_a_subgraph_is_listed_and_not_counted():
    facts = read(
        """<ir_version: 9, opset_import: ["" : 17]> net (bool c, float[2,2] x) => (float[2,2] y) {
            y = If (c) <
                then_branch = yes () => (float[2,2] a) { a = MatMul (x, x) },
                else_branch = no () => (float[2,2] b) { b = Identity (x) }
            >
        }"""
    )
    assert [(layer.op, layer.macs) for layer in facts.layers] == [("MatMul", None)]
    assert facts.operators["MatMul"] == 1


def test_what_a_constant_holds_is_a_parameter_and_no_activation():
    facts = read(
        """<ir_version: 9, opset_import: ["" : 17]> net (float[1,2] x) => (float[1,2] y) {
            w = Constant <value = float[2,2] {1.0, 2.0, 3.0, 4.0}> ()
            y = MatMul (x, w)
        }"""
    )
    assert facts.parameters == 4
    assert [each.name for each in facts.largest_activations] == ["y"]
    assert facts.layers == (LayerFacts(name="", op="MatMul", macs=4),)


def test_a_shape_that_is_not_said_is_none():
    facts = read('<ir_version: 9, opset_import: ["" : 17]> net (float[] x) => (float[] y) { y = Identity (x) }')
    assert (facts.inputs[0].shape, facts.live_bytes) == (None, None)
