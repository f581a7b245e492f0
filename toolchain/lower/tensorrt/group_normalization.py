"""Writes GroupNormalization with operators whose meaning is the same in opsets 20 and 21.

    y = GroupNormalization(x, scale, bias; num_groups = G, epsilon)      x (N, C, D1, …), scale and bias (C,)

becomes

    g = InstanceNormalization(Reshape(x, (0, G, -1)), ones (G,), zeros (G,); epsilon)
    y = Reshape(g, Shape(x)) * scale (C, 1, …) + bias (C, 1, …)

TensorRT 10.3 reads opset 20 and older, where scale and bias are (G,); onnx refuses that version, which it withdrew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.shapes import infer_ranks
from toolchain.graph.view import attribute_float, attribute_int


def rewrite_group_normalization(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy without GroupNormalization in its main graph; the same where it has none, or of unknown rank."""
    if not any(node.op_type == "GroupNormalization" for node in model.graph.node):
        return model
    ranks = infer_ranks(model)
    writer = _Writer(model)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        is_known = node.op_type == "GroupNormalization" and ranks.get(node.input[0], 0) > 2
        nodes += writer.rewrite(node, ranks[node.input[0]]) if is_known else [node]
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(writer.initializers)
    return result


class _Writer:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._names = OnnxNames.from_model(model)
        self.initializers: list[onnx.TensorProto] = []

    def rewrite(self, node: onnx.NodeProto, rank: int) -> Iterator[onnx.NodeProto]:
        """Yield the nodes in place of a GroupNormalization of a tensor with so many axes."""
        x, scale, bias = node.input
        groups = attribute_int(node, "num_groups", 1)
        epsilon = attribute_float(node, "epsilon", 1e-5)
        stem = node.name or node.output[0]
        grouped, normal, shape = (self._name(stem, part) for part in ("grouped", "normal", "shape"))
        own = self._store(stem, "ones", np.ones(groups)), self._store(stem, "zeros", np.zeros(groups))
        split = self._store(stem, "split", np.array([0, groups, -1], np.int64))
        yield helper.make_node("Reshape", [x, split], [grouped], grouped)
        yield helper.make_node("InstanceNormalization", [grouped, *own], [normal], normal, epsilon=epsilon)
        yield helper.make_node("Shape", [x], [shape], shape)
        whole, column, offset, scaled = (self._name(stem, part) for part in ("whole", "scale", "bias", "scaled"))
        along = self._store(stem, "along", np.array([-1, *[1] * (rank - 2)], np.int64))
        yield helper.make_node("Reshape", [normal, shape], [whole], whole)
        yield helper.make_node("Reshape", [scale, along], [column], column)
        yield helper.make_node("Reshape", [bias, along], [offset], offset)
        yield helper.make_node("Mul", [whole, column], [scaled], scaled)
        yield helper.make_node("Add", [scaled, offset], [node.output[0]], node.name)

    def _store(self, stem: str, part: str, value: NDArray[Any]) -> str:
        name = self._name(stem, part)
        kept = value if value.dtype == np.int64 else value.astype(np.float32)
        self.initializers.append(numpy_helper.from_array(kept, name))
        return name

    def _name(self, stem: str, part: str) -> str:
        return self._names.make(f"{stem}_{part}")
