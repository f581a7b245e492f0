"""Walks through an ONNX message: every node and every tensor, wherever they hide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx


def iter_tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor inside an ONNX message, wherever it hides: subgraphs, functions, sparse tensors, training."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in value if field.is_repeated else (value,):
            if isinstance(child, onnx.TensorProto):
                yield child
            else:
                yield from iter_tensors(child)


def iter_nodes(message: Any) -> Iterator[onnx.NodeProto]:
    """Yield every node of a model, graph, function or node, those of subgraphs and functions included."""
    if isinstance(message, onnx.ModelProto):
        yield from iter_nodes(message.graph)
        for function in message.functions:
            yield from iter_nodes(function)
        return
    for node in message.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from iter_nodes(attribute.g)
            for graph in attribute.graphs:
                yield from iter_nodes(graph)
