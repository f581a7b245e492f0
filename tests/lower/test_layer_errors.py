"""The SQNR of layers: of the tensors that both graphs have, by the name of the node that makes them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolchain.lower.layer_errors import measure_layer_errors, name_modules

FEEDS = [{"x": np.random.default_rng(seed).standard_normal((1, 4), dtype=np.float32)} for seed in range(2)]


def make_model(scale=1.0, weights=("first.weight", "val_1")):
    """Two products, the first times a scale that does not show in its name."""
    arrays = {weights[0]: np.eye(4, dtype=np.float32) * np.float32(scale), weights[1]: np.ones((4, 2), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", weights[0]], ["a"], name="node_a"),
        helper.make_node("Relu", ["a"], ["b"], name="node_b"),
        helper.make_node("MatMul", ["b", weights[1]], ["y"], name="node_y"),
    ]
    sides = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])] for name, size in (("x", 4), ("y", 2))]
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", *sides, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_graph_loses_nothing_of_itself():
    assert measure_layer_errors(make_model(), make_model(), FEEDS) == dict.fromkeys(
        ("node_a", "node_b", "node_y"), 200.0
    )


def test_an_error_is_seen_where_it_is_made_and_behind():
    found = measure_layer_errors(make_model(), make_model(scale=1.01), FEEDS)
    assert all(39.9 < sqnr_db < 40.1 for sqnr_db in found.values())  # 1 % of every value
    assert list(found) == ["node_a", "node_b", "node_y"]


def test_a_tensor_that_the_lowered_graph_has_no_more_is_absent():
    lowered = make_model()
    for node in lowered.graph.node:
        node.input[:] = ["c" if name == "b" else name for name in node.input]
        node.output[:] = ["c" if name == "b" else name for name in node.output]
    onnx.checker.check_model(lowered)
    assert set(measure_layer_errors(make_model(), lowered, FEEDS)) == {"node_a", "node_y"}


def test_a_node_is_called_by_the_module_whose_weight_it_reads_and_no_two_by_one():
    assert name_modules(make_model()) == {"node_a": "first"}
    shared = make_model(weights=("first.weight", "second.weight"))
    shared.graph.node[2].input[1] = "first.weight"
    assert name_modules(shared) == {"node_a": "first"}
