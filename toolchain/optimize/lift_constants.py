"""Turns Constant nodes of the main graph into initializers.

c = Constant<value = T>()   becomes   an initializer c = T. Everything downstream then has one kind of constant to look for;
onnxsim leaves some as nodes (197 of 494 in an OCR model of opset 12).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.optimize.replace_nodes import replace_nodes

# The attributes of Constant that hold numbers, with the type that the specification gives them (Constant-13).
_NUMBER_TYPES = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def apply(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with its constants lifted; the same where there are none."""
    tensors = {node.output[0]: tensor for node in model.graph.node if (tensor := _read_constant(node)) is not None}
    # A graph output needs a node that makes it.
    for value in model.graph.output:
        tensors.pop(value.name, None)
    if not tensors:
        return model
    nodes = [node for node in model.graph.node if not (_is_constant(node) and node.output[0] in tensors)]
    return replace_nodes(model, nodes, tensors.values())


def _is_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and node.domain in ("", "ai.onnx")


def _read_constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return a Constant node's tensor, named as its output; None for other nodes, strings and sparse tensors."""
    if not _is_constant(node) or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = node.output[0]
        return tensor
    if attribute.name in _NUMBER_TYPES:
        value = onnx.helper.get_attribute_value(attribute)
        return numpy_helper.from_array(np.array(value, dtype=_NUMBER_TYPES[attribute.name]), node.output[0])
    return None
