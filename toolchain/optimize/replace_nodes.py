"""The last step of most passes: a copy of the model with other nodes, and without what nobody reads any more."""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence
from collections.abc import Set as AbstractSet
from typing import Any

import onnx

from toolchain.graph.view import GraphView


def replace_nodes(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], initializers: Iterable[onnx.TensorProto] = ()
) -> onnx.ModelProto:
    """Return a copy of the model that has these nodes, in this order, and more initializers.

    Initializers that are neither read nor an input, and inferred shapes of values that are gone, are left out.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(initializers)
    view = GraphView.from_model(result)
    read = view.consumers.keys() | view.output_names | {value.name for value in graph.input}
    _keep(graph.initializer, read)
    _keep(graph.value_info, read | view.producers.keys())
    return result


def _keep(named: MutableSequence[Any], names: AbstractSet[str]) -> None:
    """Delete, in place, what has none of these names; weights are not copied."""
    for index in reversed(range(len(named))):
        if named[index].name not in names:
            del named[index]
