"""Where fake quantization stands; that the exported graphs agree is in test_qat.py."""

import torch
import torch.nn.functional as F
from torch import fx, nn

from toolchain.compress.quantization.placement import find_quantized


class Net(nn.Module):
    """Two convolutions and a linear layer, called as the test says."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 4)
        self.drop, self.act = nn.Dropout(), nn.ReLU()
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


class Shapes(fx.Interpreter):
    """Runs a graph and keeps the shape of every tensor."""

    def __init__(self, graph):
        super().__init__(graph)
        self.shapes = {}

    def run_node(self, n):
        value = super().run_node(n)
        if isinstance(value, torch.Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


def place(forward, shape=(1, 4, 6, 6)):
    """Return the names of the nodes that are quantized."""
    graph = fx.symbolic_trace(Net(forward).eval())
    run = Shapes(graph)
    run.run(torch.zeros(shape))
    return [node.name for node in find_quantized(graph, ["a", "b", "c"], run.shapes)[0]]


def test_a_relu_that_is_the_only_reader_is_absorbed():
    assert place(lambda net, x: net.b(F.relu(net.a(x)))) == ["x", "relu", "b"]
    assert place(lambda net, x: net.b(net.act(net.drop(net.a(x))))) == ["x", "act", "b"]


def test_a_relu_beside_another_reader_is_not():
    def forward(net, x):
        y = net.a(x)
        return net.b(F.relu(y)) + y

    assert place(forward) == ["x", "a", "relu", "b"]  # and the sum is a dead end


def test_a_sum_is_rounded_between_int8_neighbours_only():
    assert "add" in place(lambda net, x: net.b(net.a(x) + net.a(x)))
    # Its other side is the sine, which is float; the convolution behind reads the sum rounded all the same.
    assert place(lambda net, x: net.b(net.a(x) + torch.sin(x)).sin()) == ["x", "a", "add", "b"]
    assert place(lambda net, x: net.a(x) + 1.0) == ["x", "a"]


def test_what_only_moves_values_shares_the_range_of_its_source():
    assert place(lambda net, x: net.c(F.adaptive_avg_pool2d(net.a(x), 1).flatten(1))) == [
        "x",
        "a",
        "adaptive_avg_pool2d",
    ]
    assert place(lambda net, x: net.b(F.max_pool2d(F.relu(net.a(x)), 2))) == ["x", "relu", "b"]
    # Behind a float source there is no range to share.
    assert place(lambda net, x: net.c(x.mean(dim=(2, 3)).sin().unsqueeze(1))) == ["unsqueeze"]


def test_the_mean_of_one_pixel_is_the_pixel():
    assert place(lambda net, x: net.c(net.a(x).mean(dim=(2, 3))), (1, 4, 1, 1)) == ["x", "a"]
    assert place(lambda net, x: net.c(net.a(x).mean(dim=(2, 3)))) == ["x", "a", "mean"]


def test_a_linear_layer_returns_float_unless_int8_reads_it():
    assert place(lambda net, x: net.c(x), (2, 4)) == ["x"]
    assert place(lambda net, x: net.c(F.relu(net.c(x))), (2, 4)) == ["x", "relu"]
    assert place(lambda net, x: net.c(F.gelu(net.c(x))), (2, 4)) == ["x", "gelu"]
    # More than two axes: MatMul and Add in ONNX, and the Add stays in float.
    assert place(lambda net, x: net.c(net.c(x) + net.c(x)), (2, 3, 4)) == ["x", "add"]
