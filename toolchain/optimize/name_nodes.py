"""Gives every node a name that no other has: reports and keep_float go by it."""

from __future__ import annotations

import onnx

from toolchain.graph.node_names import name_nodes
from toolchain.graph.walk import iter_nodes
from toolchain.optimize.applied import Applied


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with unique names; the same where it has them."""
    named = name_nodes(model)
    if named is model:
        return Applied(model=model, report="every node has a name that no other has")
    pairs = zip(iter_nodes(model), iter_nodes(named), strict=True)
    count = sum(old.name != new.name for old, new in pairs)
    return Applied(model=named, report=f"named {count} nodes")
