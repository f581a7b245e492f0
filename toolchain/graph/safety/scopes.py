"""Every node of a model, with the constants that it sees."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolchain.graph.view import is_constant_node, read_constant_node


class Constants:
    """The constants that a node sees: those of its own graph and of the graphs around that."""

    def __init__(self, holders: ChainMap[str, onnx.TensorProto | onnx.NodeProto]) -> None:
        self._holders = holders

    def find(self, name: str) -> onnx.TensorProto | None:
        """Return the tensor of an initializer or a Constant node; None where it is neither."""
        holder = self._holders.get(name) if name else None
        return read_constant_node(holder) if isinstance(holder, onnx.NodeProto) else holder

    def read(self, name: str) -> NDArray[np.float64] | None:
        """Return a constant's numbers; None where it is no constant, or one of strings."""
        tensor = self.find(name)
        if tensor is None or tensor.data_type == onnx.TensorProto.STRING:
            return None
        return np.asarray(numpy_helper.to_array(tensor)).astype(np.float64)


def iter_scoped_nodes(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, Constants]]:
    """Yield every node of a model, those of subgraphs and functions included, with what it sees."""
    for graph in (model.graph, *model.functions):
        yield from _iter_graph(graph, ChainMap())


def _iter_graph(
    graph: onnx.GraphProto | onnx.FunctionProto, outer: ChainMap[str, onnx.TensorProto | onnx.NodeProto]
) -> Iterator[tuple[onnx.NodeProto, Constants]]:
    scope = outer.new_child()
    if isinstance(graph, onnx.GraphProto):
        scope.update({tensor.name: tensor for tensor in graph.initializer})
    for node in graph.node:
        if is_constant_node(node):
            scope.update(dict.fromkeys(node.output, node))
    constants = Constants(scope)
    for node in graph.node:
        yield node, constants
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _iter_graph(inner, scope)
