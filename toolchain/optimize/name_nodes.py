"""Gives every node a name that no other has: reports and keep_float go by it."""

from __future__ import annotations

import onnx

from toolchain.graph.node_names import name_nodes


def apply(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with unique names; the same where it has them."""
    return name_nodes(model)
