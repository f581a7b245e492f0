"""Which tensors have no value below 0: told by the graph, and never of one that could."""

import pytest
from onnx.parser import parse_model

from toolchain.graph.view import GraphView
from toolchain.lower.never_negative import is_never_negative

HEAD = '<ir_version: 9, opset_import: ["" : 17]>'


def read(nodes):
    zero, minus = "float low = {0}", "float minus = {-1}"
    text = (
        f"{HEAD} net (float[1, 4, 6, 6] x) => (float[1, 4, 6, 6] y) <{zero}, {minus}, float high = {{6}}> {{ {nodes} }}"
    )
    return parse_model(text)


NEVER = [
    "y = Relu (x)",
    "y = Sigmoid (x)",
    "y = Clip (x, low, high)",
    "a = Relu (x) y = MaxPool <kernel_shape = [1, 1]> (a)",
    "a = Relu (x) y = AveragePool <kernel_shape = [1, 1]> (a)",
    "a = Relu (x) b = Sigmoid (x) c = Concat <axis = 1> (a, b) y = Transpose <perm = [0, 1, 3, 2]> (c)",
]
PERHAPS = [
    "y = Clip (x, minus, high)",
    "y = Clip (x, , high)",
    "y = MaxPool <kernel_shape = [1, 1]> (x)",
    "a = Relu (x) b = Tanh (x) y = Concat <axis = 1> (a, b)",
    "a = Relu (x) y = Neg (a)",
    "a = Relu (x) y = HardSwish (a)",
    "y = LeakyRelu (x)",
]


@pytest.mark.parametrize("nodes", NEVER)
def test_what_cuts_off_below_0_or_keeps_what_did_is_never_negative(nodes):
    assert is_never_negative(GraphView.from_model(read(nodes)), "y")


@pytest.mark.parametrize("nodes", PERHAPS)
def test_what_may_be_below_0_is_not_called_that(nodes):
    assert not is_never_negative(GraphView.from_model(read(nodes)), "y")


def test_an_input_may_be():
    assert not is_never_negative(GraphView.from_model(read("y = Relu (x)")), "x")
