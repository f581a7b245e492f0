"""Why a layer that multiplies is no candidate for int8: one reason each, the one that holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import onnx
from onnx import TensorProto

from toolchain.graph.view import GraphView, attribute_int
from toolchain.graph.walk import iter_nodes
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.weighted import find_weight

_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})


def explain_float_layers(model: onnx.ModelProto, planned: Collection[str], never: Mapping[str, str]) -> dict[str, str]:
    """Return why each multiplying layer that a plan lacks stays in float, by its name, those in subgraphs included.

    never: why the runtime has no int8 kernel for an operator, by the operator. Candidates of the plan's policy that it
    was told to leave in float have no reason here.
    """
    view = GraphView.from_model(model)
    reasons: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type in never and node.name not in planned:
            reasons[node.name] = never[node.op_type]
        elif node.op_type in _WEIGHTED and node.name not in planned and find_weight(view, node) is None:
            reasons[node.name] = _explain_weight(view, node)
    return reasons | explain_subgraphs(model, _WEIGHTED | never.keys(), "int8 reaches the main graph only")


def explain_subgraphs(model: onnx.ModelProto, operators: Collection[str], reason: str) -> dict[str, str]:
    """Return the reason for each layer of these operators inside a subgraph, by its name."""
    return {
        node.name: f"it is inside the body of {owner.name} ({owner.op_type}): {reason}"
        for owner in model.graph.node
        for node in _iter_inner(owner)
        if node.op_type in operators
    }


def list_operators(model: onnx.ModelProto) -> dict[str, str]:
    """Return the operator of every node by its name, those in subgraphs included."""
    return {node.name: node.op_type for node in iter_nodes(model)}


def _iter_inner(owner: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    for attribute in owner.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            yield from iter_nodes(graph)


def _explain_weight(view: GraphView, node: onnx.NodeProto) -> str:
    data, weight = node.input[:2]
    if view.is_constant(data):
        return "its constant stands on the left: int8 kernels take the weight on the right"
    if not _is_constant(view, weight):
        producer = view.producers.get(weight)
        if producer is None or (
            node.op_type != "Conv" and not all(map(view.is_constant, filter(None, producer.input)))
        ):
            return "a product of two activations"
        return f"its weight is computed in the graph, by {producer.name} ({producer.op_type})"
    reason = _explain_constant(view, node, weight)
    if reason is not None:
        return reason
    if node.op_type == "Gemm":
        return _explain_gemm(view, node)
    return "its bias is computed in the graph"


def _is_constant(view: GraphView, name: str) -> bool:
    """Return whether a tensor is an initializer, as it is or behind one Transpose."""
    producer = view.producers.get(name)
    return view.is_constant(name) or (
        producer is not None and producer.op_type == "Transpose" and view.is_constant(producer.input[0])
    )


def _explain_constant(view: GraphView, node: onnx.NodeProto, name: str) -> str | None:
    producer = view.producers.get(name)
    source = producer.input[0] if producer is not None and producer.op_type == "Transpose" else name
    tensor = view.initializers.get(source)
    if tensor is None:
        return f"its weight is a Constant node, {producer.name}" if producer is not None else None
    if tensor.data_type != TensorProto.FLOAT:
        return f"its weight is {TensorProto.DataType.Name(tensor.data_type).lower()}, not float32"
    if source in view.output_names:
        return "its weight is an output of the model too"
    if source in {value.name for value in view.model.graph.input}:
        return "its weight is an input of the model too"
    if node.op_type == "MatMul" and len(tensor.dims) != 2:
        shape = ", ".join(map(str, tensor.dims))
        return f"its weight of shape ({shape}) is not one matrix: int8 kernels take one"
    return None


def _explain_gemm(view: GraphView, node: onnx.NodeProto) -> str:
    """Return what the pass plain_products left, because another node reads the same constant."""
    if attribute_int(node, "transA", 0):
        return "it transposes its input, and another node reads its weight or bias"
    if len(node.input) > 2 and node.input[2]:
        bias = view.constant(node.input[2])
        if bias is None:
            return "its bias is computed in the graph"
        if bias.ndim != 1:
            return f"its bias has {bias.ndim} axes, and another node reads it or the weight"
    return "it scales its product, and another node reads its weight or bias"


def explain_shared(plan: QdqPlan, keep: frozenset[str]) -> dict[str, str]:
    """Return why layers stay in float whose weight is that of a layer in float, by their name."""
    return {
        layer: f"its weight is that of {held[0]}, which stays in float: stored in both forms it would be larger"
        for sharing in plan.deciding_layers.values()
        if (held := [layer for layer in sharing if layer in keep])
        for layer in sharing
        if layer not in keep
    }
