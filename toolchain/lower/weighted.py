"""Layers with weights that can be int8: which operators, and which of their inputs is the weight."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from toolchain.graph.view import GraphView, attribute_int
from toolchain.lower.qdq_plan import WeightInput


def find_weight(view: GraphView, node: onnx.NodeProto) -> WeightInput | None:
    """Return the weight of a Conv, Gemm or MatMul between an activation and a constant float32 tensor, or None.

    The constant is an initializer, as it is or behind one Transpose, as an embedding is that also projects the output.
    """
    weight = _weight_input(view, node)
    if weight is None or view.is_constant(node.input[0]):
        return None
    if weight.bias_index is not None and node.input[weight.bias_index] not in view.initializers:
        return None
    return weight


def find_held_weights(view: GraphView, keep_float: frozenset[str]) -> dict[str, str]:
    """Return the weights of the layers that stay in float, each with the first such layer.

    Who shares one stays in float too: stored in both forms, a weight is larger than it was.
    """
    held: dict[str, str] = {}
    for node in view.model.graph.node:
        weight = find_weight(view, node) if node.name in keep_float else None
        if weight is not None:
            held.setdefault(weight.source, node.name)
    return held


def _weight_input(view: GraphView, node: onnx.NodeProto) -> WeightInput | None:
    if node.op_type not in {"Conv", "Gemm", "MatMul"}:
        return None
    found = _find_constant(view, node.input[1])
    if found is None:
        return None
    source, perm, rank = found
    bias_index = 2 if len(node.input) > 2 and node.input[2] else None
    if node.op_type == "Conv":
        depthwise = _is_depthwise(view, node, source, perm)
        return WeightInput(1, 0, bias_index, source, perm, is_depthwise=depthwise)
    if node.op_type == "Gemm":
        plain = attribute_int(node, "transA", 0) == 0 and _is_unscaled(node)
        bias = view.constant(node.input[2]) if bias_index is not None else None
        if not plain or (bias_index is not None and (bias is None or bias.ndim != 1)):
            return None
        return WeightInput(1, 0 if attribute_int(node, "transB", 0) else 1, bias_index, source, perm)
    return WeightInput(1, 1, None, source, perm) if rank == 2 else None


def _is_depthwise(view: GraphView, node: onnx.NodeProto, source: str, perm: tuple[int, ...]) -> bool:
    dims = view.initializers[source].dims
    channels, inputs = (dims[axis] for axis in (perm or (0, 1))[:2])
    return bool(inputs == 1 and attribute_int(node, "group", 1) == channels)


def _find_constant(view: GraphView, name: str) -> tuple[str, tuple[int, ...], int] | None:
    """Return the float32 initializer that a tensor is, the permutation of its axes (empty: none), and its rank."""
    perm: tuple[int, ...] = ()
    node = view.producers.get(name)
    if node is not None and node.op_type == "Transpose":
        name = node.input[0]
        stated = next((attribute.ints for attribute in node.attribute if attribute.name == "perm"), None)
        rank = len(view.initializers[name].dims) if name in view.initializers else 0
        perm = tuple(range(rank))[::-1] if stated is None else tuple(stated)
    tensor = view.initializers.get(name)
    overridable = {value.name for value in view.model.graph.input} | view.output_names
    if tensor is None or tensor.data_type != TensorProto.FLOAT or name in overridable:
        return None
    return name, perm, len(tensor.dims)


def _is_unscaled(node: onnx.NodeProto) -> bool:
    """Return whether a Gemm computes A @ B + C: the integer kernel has no alpha and beta."""
    return all(attribute.f == 1.0 for attribute in node.attribute if attribute.name in {"alpha", "beta"})
