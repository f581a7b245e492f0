"""Where fake quantization stands: in the words of the traced model what the deployment's policy says of its graph.

The rules are the policy's own (tests/lower/test_onnxruntime.py); that a trained model is lowered with just the pairs that it
was trained with is in tests/compress/methods/test_qat.py.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from toolchain.compress.quantization.pair_places import find_pair_places


class Net(nn.Module):
    """Convolutions and linear layers, called as the test says."""

    def __init__(self, forward):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 4)
        self.drop, self.act, self.silu = nn.Dropout(), nn.ReLU(), nn.SiLU()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def place(forward, shape=(2, 4, 6, 6), keep_float=()):
    """Return the places of a net; every tensor is between -8 and 8."""
    net = Net(forward).eval()
    graph = fx.symbolic_trace(net)
    ranges = {node.name: (-8.0, 8.0) for node in graph.graph.nodes if node.name not in ("output", "attention")}
    batch = {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    return find_pair_places(net, graph, ranges, batch, keep_float=keep_float)


def test_a_relu_that_is_the_only_reader_is_absorbed_and_a_dropout_is_nothing():
    places = place(lambda net, x: net.b(net.act(net.drop(net.a(x)))))
    assert places.nodes == ("x", "act", "b")
    assert {"a", "b"} <= places.layers


def test_a_relu_beside_another_reader_is_not_absorbed():
    def forward(net, x):
        y = net.a(x)
        return net.b(F.relu(y)) + y

    assert place(forward).nodes == ("x", "a", "relu", "b")  # and the sum is a dead end


def test_a_pooling_that_optimization_rewrites_is_found_behind_what_moves_its_values():
    places = place(lambda net, x: net.c(net.a(x).mean(dim=(2, 3))))
    assert (places.nodes, places.untraced) == (("x", "a", "mean"), ())
    # Of one pixel, the mean is the pixel, and the passes take it out.
    assert place(lambda net, x: net.c(net.a(x).mean(dim=(2, 3))), (2, 4, 1, 1)).nodes == ("x", "a")


def test_a_hard_swish_written_by_hand_is_one_float_operator_as_it_is_deployed():
    def forward(net, x):
        y = net.a(x)
        return net.b(y * F.relu6(y + 3) / 6)

    assert place(forward).nodes == ("x", "a", "truediv", "b")


def test_a_concatenation_is_rounded_between_int8_neighbours_only():
    nodes = ("x", "a", "b", "cat", "a_1")
    assert place(lambda net, x: net.a(torch.cat([net.a(x), net.b(x)], 2))).nodes == nodes
    assert place(lambda net, x: torch.cat([net.a(x), net.b(x)], 2).sin()).nodes == ("x", "a", "b")


def test_the_bias_of_a_linear_layer_on_more_than_two_axes_is_added_in_float():
    assert place(lambda net, x: net.c(net.c(x) + net.c(x)), (2, 3, 4)).nodes == ("x", "add")
    assert place(lambda net, x: net.c(F.relu(net.c(x))), (2, 4)).nodes == ("x", "relu")


def test_a_layer_that_is_left_alone_brings_no_pairs():
    def forward(net, x):
        return net.b(net.a(x).sin()).sin()

    assert place(forward).nodes == ("x", "a", "sin", "b")
    places = place(forward, keep_float=["b"])
    assert (places.nodes, places.layers & {"a", "b"}) == (("x", "a"), {"a"})


def test_what_a_module_hides_is_said_by_its_name():
    places = place(lambda net, x: net.b(net.silu(net.a(x))))
    assert (places.nodes, places.untraced) == (("x", "a", "silu", "b"), ("silu",))
    places = place(lambda net, x: net.c(net.attention(x, x, x)[0]), (2, 3, 4))
    assert places.untraced == ("attention",)
    # A layer inside of it that is left alone: so is all that shares its call.
    places = place(lambda net, x: net.c(net.attention(x, x, x)[0]), (2, 3, 4), keep_float=["attention.out_proj"])
    assert (places.nodes, places.untraced, places.layers) == (("getitem",), (), {"c"})


@pytest.mark.parametrize(("factor", "nodes", "untraced"), [(2.0, ("x", "b"), ("a",)), (1.0, ("x", "a", "b"), ())])
def test_a_name_that_a_pass_gave_other_values_is_no_place(factor, nodes, untraced):
    """Onnxsim folds the number into the convolution, whose output keeps its name."""
    places = place(lambda net, x: net.b(net.a(x) * factor))
    assert (places.nodes, places.untraced) == (nodes, untraced)
    assert {"a", "b"} <= places.layers


def test_a_constant_gets_no_pair():
    assert place(lambda net, x: net.a(x) + net.a.bias.relu().reshape(1, 4, 1, 1)).nodes == ("x", "a")


def test_calls_that_compute_the_same_are_one_tensor_of_the_deployment():
    assert place(lambda net, x: net.b(net.a(x) + net.a(x))).nodes == ("x", "a", "add", "b")
