"""2:4 sparsity: weights of which the tensor cores of Ampere and later skip half.

NVIDIA's rule: of every four neighbours along the axis that is summed over (input channels of a convolution at each
pixel of the kernel, the inner axis of a matrix), at least two are zero.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.view import GraphView
from toolchain.lower.weighted import find_weight

_GROUP = 4
_KEPT = 2


def find_sparse_layers(model: onnx.ModelProto) -> list[str]:
    """Return the names of the layers whose whole weight is 2:4 sparse, in graph order."""
    view = GraphView.from_model(model)
    found = []
    for node in model.graph.node:
        weight = find_weight(view, node)
        values = None if weight is None else view.constant(node.input[weight.index])
        if weight is not None and values is not None and is_sparse(values, output_axis=weight.axis):
            found.append(node.name)
    return found


def is_sparse(weight: NDArray[np.generic], *, output_axis: int) -> bool:
    """Return whether a weight of a convolution (K, C, ...) or a matrix is 2:4 sparse along its summed axis."""
    moved = np.moveaxis(weight, 1 - output_axis, -1)
    if moved.shape[-1] % _GROUP or not moved.size:
        return False
    groups = moved.reshape(-1, _GROUP)
    return bool((np.count_nonzero(groups, axis=1) <= _KEPT).all())
