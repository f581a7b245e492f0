"""Tensors that have no value below 0, whatever the model is fed with: told by the operators that make them."""

from __future__ import annotations

import numpy as np
import onnx

from toolchain.graph.view import GraphView
from toolchain.lower.moved_values import MOVES_VALUES

_CUTS = frozenset({"Relu", "Sigmoid", "Softmax", "HardSigmoid"})
# Of values that are not below 0 they make none that is; of several inputs all count.
_KEEPS = MOVES_VALUES | {"Slice", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean"}


def is_never_negative(view: GraphView, name: str) -> bool:
    """Return whether no value of a tensor can be below 0."""
    waiting, seen = [name], set[str]()
    while waiting:
        name = waiting.pop()
        node = view.producers.get(name)
        if node is None or not (_cuts(view, node) or node.op_type in _KEEPS):
            return False
        if node.op_type in _KEEPS and name not in seen:
            seen.add(name)
            waiting.extend(node.input if node.op_type == "Concat" else node.input[:1])
    return True


def _cuts(view: GraphView, node: onnx.NodeProto) -> bool:
    if node.op_type != "Clip":
        return node.op_type in _CUTS
    low = view.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    return low is not None and float(np.min(low)) >= 0
