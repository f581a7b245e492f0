"""What the int8 policies of several runtimes do alike."""

from __future__ import annotations

from collections.abc import Collection

import onnx

from toolchain.graph.view import GraphView
from toolchain.lower.qdq_plan import QuantizedNode


def absorb_activation(view: GraphView, node: onnx.NodeProto, absorbed: Collection[str]) -> str:
    """Return the tensor behind an activation of these operators that is the node's only reader, or the node's own output."""
    consumer = view.only_consumer(node.output[0])
    if consumer is None or consumer.op_type not in absorbed:
        return str(node.output[0])
    return str(consumer.output[0])


def drop_dead_ends(view: GraphView, nodes: dict[str, QuantizedNode]) -> None:
    """Take out nodes without weights that no int8 node reads: their integers would be converted back at once."""
    changed = True
    while changed:
        dead = [
            node.name
            for node in nodes.values()
            if node.weight is None
            and not any(reader.name in nodes for reader in view.consumers.get(node.output or "", ()))
        ]
        for name in dead:
            del nodes[name]
        changed = bool(dead)
