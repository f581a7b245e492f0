"""Turns Constant nodes of the main graph into initializers.

c = Constant<value = T>()   becomes   an initializer c = T. Everything downstream then has one kind of constant to look for;
onnxsim leaves some as nodes (197 of 494 in an OCR model of opset 12).
"""

from __future__ import annotations

import onnx

from toolchain.graph.view import is_constant_node, read_constant_node
from toolchain.optimize.applied import Applied
from toolchain.optimize.replace_nodes import replace_nodes


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with its constants lifted; the same where there are none."""
    tensors = {node.output[0]: tensor for node in model.graph.node if (tensor := read_constant_node(node)) is not None}
    if not tensors:
        return Applied(model=model, report="no Constant node of numbers in the main graph")
    # A graph output needs a node that makes it.
    for value in model.graph.output:
        tensors.pop(value.name, None)
    if not tensors:
        return Applied(model=model, report="every Constant node makes an output of the model")
    nodes = [node for node in model.graph.node if not (is_constant_node(node) and node.output[0] in tensors)]
    lifted = replace_nodes(model, nodes, tensors.values())
    return Applied(model=lifted, report=f"made {len(tensors)} Constant nodes initializers")
