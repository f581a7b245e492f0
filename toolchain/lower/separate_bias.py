"""Keeps ONNX Runtime from computing a product between Q/DQ pairs in float, because a bias is added behind it.

Before it looks for pairs, ONNX Runtime 1.32 makes Reshape, Gemm and Reshape of a MatMul of known shape and an Add of a
constant (N,), and of that Gemm, whose bias is float, no integer kernel: the weight is converted to float in each run. It
leaves an Add of (1, N) alone, which is the same sum where the product has two axes or more.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView
from toolchain.lower.qdq_plan import QdqPlan

# With two axes it makes a Gemm of (1, N) too. Such a product comes as a Gemm from most exporters and from our passes.
_AXES_MIN = 3


def separate_biases(model: onnx.ModelProto, plan: QdqPlan) -> onnx.ModelProto:
    """Return the model with (1, N) biases behind the plan's static MatMuls that return float; itself where there is none."""
    view = GraphView.from_model(model)
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    names = {
        node.name for node in plan.nodes if node.scale == "static" and node.op_type == "MatMul" and node.output is None
    }
    places: dict[str, int] = {}
    for node in model.graph.node:
        reader = view.only_consumer(node.output[0]) if node.name in names else None
        if reader is None or reader.op_type != "Add" or ranks.get(node.output[0], 0) < _AXES_MIN:
            continue
        index = 1 if reader.input[0] == node.output[0] else 0
        tensor = view.initializers.get(reader.input[index])
        if tensor is not None and len(tensor.dims) == 1:
            places[reader.name] = index
    if not places:
        return model
    result, made = copy_without_weights(model), OnnxNames.from_model(model)
    rows: dict[str, onnx.TensorProto] = {}
    for node in result.graph.node:
        if node.name in places:
            bias = node.input[places[node.name]]
            row = made.derive(bias, "row")
            rows[row] = numpy_helper.from_array(np.asarray(view.constant(bias))[None], row)
            node.input[places[node.name]] = row
    result.graph.initializer.extend([*model.graph.initializer, *rows.values()])
    return result
