"""Turns the mean over all spatial axes into GlobalAveragePool.

x (N, C, H, W) or (N, C, D, H, W), axes = all from 2 on, y(n, c) = mean of x(n, c, …):

    ReduceMean(x, axes, keepdims=1)   becomes   GlobalAveragePool(x)              (N, C, 1, 1)
    ReduceMean(x, axes, keepdims=0)   becomes   Flatten(GlobalAveragePool(x), 1)  (N, C)

ONNX Runtime has an int8 kernel and a blocked-layout kernel (NCHWc) for GlobalAveragePool, and none for ReduceMean, in
front of which it reorders the data; PyTorch's exporter writes ReduceMean for adaptive pooling.

It does not act on rank 3, where (N, T, C) with axis 2 is the mean of a LayerNormalization, nor where a Sub reads the
mean: that is an instance or group normalization, which is to stay recognizable.
"""

from __future__ import annotations

import onnx
from onnx import helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.shapes import infer_ranks
from toolchain.graph.view import GraphView, attribute_int
from toolchain.optimize.applied import Applied
from toolchain.optimize.replace_nodes import replace_nodes

# Of images and volumes.
_RANKS = (4, 5)


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with its spatial means as GlobalAveragePool; the same where it has none."""
    if not any(node.op_type == "ReduceMean" for node in model.graph.node):
        return Applied(model=model, report="no ReduceMean")
    ranks = infer_ranks(model)
    view = GraphView.from_model(model)
    names = OnnxNames.from_model(model)
    means = {id(node) for node in model.graph.node if _is_spatial_mean(view, node, ranks)}
    if not means:
        return Applied(
            model=model, report="no ReduceMean over all spatial axes of a picture or volume, and no Sub after it"
        )
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _rewrite(node, names) if id(node) in means else [node]
    return Applied(model=replace_nodes(model, nodes), report=f"pooled {len(means)} means over all spatial axes")


def _is_spatial_mean(view: GraphView, node: onnx.NodeProto, ranks: dict[str, int]) -> bool:
    if node.op_type != "ReduceMean" or ranks.get(node.input[0]) not in _RANKS:
        return False
    rank = ranks[node.input[0]]
    axes = _read_axes(view, node)
    # No axes means all of them, or none: never the spatial ones.
    if not axes or sorted(axis % rank for axis in axes) != list(range(2, rank)):
        return False
    return all(reader.op_type != "Sub" for reader in view.consumers.get(node.output[0], ()))


def _read_axes(view: GraphView, node: onnx.NodeProto) -> list[int]:
    """Return the axes, an attribute before opset 18 and an input since; empty where absent or not constant."""
    if len(node.input) > 1:
        value = view.constant(node.input[1])
        overridable = node.input[1] in {graph_input.name for graph_input in view.model.graph.input}
        return [] if value is None or overridable else [int(axis) for axis in value.ravel()]
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "axes"), [])


def _rewrite(mean: onnx.NodeProto, names: OnnxNames) -> list[onnx.NodeProto]:
    output = mean.output[0]
    if attribute_int(mean, "keepdims", 1):
        return [helper.make_node("GlobalAveragePool", [mean.input[0]], [output], name=mean.name)]
    pooled = names.derive(output, "pooled")
    flatten = names.derive(mean.name, "flatten") if mean.name else ""
    return [
        helper.make_node("GlobalAveragePool", [mean.input[0]], [pooled], name=mean.name),
        helper.make_node("Flatten", [pooled], [output], axis=1, name=flatten),
    ]
