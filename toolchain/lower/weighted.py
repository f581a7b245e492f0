"""Layers with weights that can be int8: which operators, and which of their inputs is the weight."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from toolchain.lower.qdq import WeightInput
from toolchain.onnx_graph import GraphView, attribute_int


def find_weight(view: GraphView, node: onnx.NodeProto) -> WeightInput | None:
    """Return the weight of a Conv, Gemm or MatMul between an activation and a constant float32 tensor, or None."""
    weight = _weight_input(view, node)
    if weight is None or view.is_constant(node.input[0]):
        return None
    tensor = view.initializers.get(node.input[weight.index])
    if tensor is None or tensor.data_type != TensorProto.FLOAT:
        return None
    if weight.bias_index is not None and node.input[weight.bias_index] not in view.initializers:
        return None
    return weight


def _weight_input(view: GraphView, node: onnx.NodeProto) -> WeightInput | None:
    bias_index = 2 if len(node.input) > 2 and node.input[2] else None
    if node.op_type == "Conv":
        return WeightInput(1, 0, bias_index)
    if node.op_type == "Gemm":
        plain = attribute_int(node, "transA", 0) == 0 and _is_unscaled(node)
        bias = view.constant(node.input[2]) if bias_index is not None else None
        if not plain or (bias_index is not None and (bias is None or bias.ndim != 1)):
            return None
        return WeightInput(1, 0 if attribute_int(node, "transB", 0) else 1, bias_index)
    if node.op_type == "MatMul":
        weight = view.initializers.get(node.input[1])
        return WeightInput(1, 1, None) if weight is not None and len(weight.dims) == 2 else None
    return None


def _is_unscaled(node: onnx.NodeProto) -> bool:
    """Return whether a Gemm computes A @ B + C: the integer kernel has no alpha and beta."""
    return all(attribute.f == 1.0 for attribute in node.attribute if attribute.name in {"alpha", "beta"})
