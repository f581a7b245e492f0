"""The weight that a layer reads, whether a model stores it in float or as integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.view import GraphView, attribute_int


def read_weight(view: GraphView, name: str) -> NDArray[np.float32]:
    """Return a tensor that an initializer, a DequantizeLinear of initializers or a Transpose of either makes.

    Raises KeyError for any other tensor.
    """
    constant = view.constant(name)
    if constant is not None:
        return np.asarray(constant, np.float32)
    node = view.producers[name]
    inner = read_weight(view, node.input[0])
    if node.op_type == "Transpose":
        perm = next((attribute.ints for attribute in node.attribute if attribute.name == "perm"), None)
        return inner.transpose(perm)
    if node.op_type == "DequantizeLinear":
        constant = view.constant(node.input[1])
        if constant is not None:
            scales = constant.astype(np.float32)
            shape = [1] * inner.ndim
            shape[attribute_int(node, "axis", 1)] = -1
            return np.asarray(inner * (scales.reshape(shape) if scales.ndim else scales), np.float32)
    raise KeyError(name)
