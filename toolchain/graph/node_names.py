"""Names of nodes: every node has one that no other has, those in subgraphs included."""

from __future__ import annotations

import onnx

from toolchain.graph.names import OnnxNames
from toolchain.graph.walk import iter_nodes


def has_repeated_names(model: onnx.ModelProto) -> bool:
    """Return whether two nodes share a name."""
    names = [node.name for node in iter_nodes(model) if node.name]
    return len(set(names)) < len(names)


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a name for every node that no other has; the same where it has them.

    A name that is unique stays. A node without one is called OPERATOR_OUTPUT, after its first output, which is unique in
    its graph and does not move when another node comes or goes; a name that was there before gets _2, _3, …
    """
    names = [node.name for node in iter_nodes(model)]
    if all(names) and len(set(names)) == len(names):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    free = OnnxNames.from_model(model)
    seen: set[str] = set()
    for node in iter_nodes(result):
        if not node.name or node.name in seen:
            stem = node.name or f"{node.op_type}_{next(filter(None, node.output), 'none')}"
            node.name = free.make(stem)
        seen.add(node.name)
    return result
