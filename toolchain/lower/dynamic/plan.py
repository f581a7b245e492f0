"""Which products take the scale of their activation from each run: MatMul and Gemm, where a weight is theirs alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import onnx

from toolchain.graph.view import GraphView
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, WeightInput
from toolchain.lower.weighted import find_held_weights, find_weight

Plan = Callable[[onnx.ModelProto, frozenset[str]], QdqPlan]

_PRODUCTS = frozenset({"MatMul", "Gemm"})

# Inputs of a product whose sum fits int32 whatever they are: 255 steps by 128 each. MatMulInteger wraps around unsaid.
_INPUTS_MAX = (2**31 - 1) // (255 * 128)


def find_dynamic(model: onnx.ModelProto) -> dict[str, QuantizedNode]:
    """Return the products of a float model that can be dynamic, by name.

    A weight that somebody else reads, turned or as it is, would be stored in two forms: its products are left to the
    static plan, which restores the float form from the integers.
    """
    view = GraphView.from_model(model)
    found: dict[str, QuantizedNode] = {}
    for node in model.graph.node:
        weight = find_weight(view, node) if node.op_type in _PRODUCTS else None
        if weight is None or weight.perm or not _is_theirs(view, weight):
            continue
        if view.initializers[weight.source].dims[1 - weight.axis] <= _INPUTS_MAX:
            found[node.name] = QuantizedNode(
                name=node.name,
                op_type=node.op_type,
                activations=(node.input[0],),
                weight=weight,
                output=None,
                scale="dynamic",
            )
    return found


def plan_dynamic(plan: Plan, model: onnx.ModelProto, keep_float: frozenset[str]) -> QdqPlan:
    """Return the plan with every product dynamic that can be, and what else `plan` puts between pairs without them."""
    products = find_dynamic(model)
    held = find_held_weights(GraphView.from_model(model), keep_float)
    others = {node.name: node for node in plan(model, keep_float | products.keys()).nodes}
    chosen = {
        name: node
        for name, node in products.items()
        if name not in keep_float and node.weight is not None and node.weight.source not in held
    }
    planned = others | chosen
    return QdqPlan(tuple(planned[node.name] for node in model.graph.node if node.name in planned))


def split_plan(plan: QdqPlan) -> tuple[QdqPlan, QdqPlan]:
    """Return the static and the dynamic nodes of a plan."""
    static, dynamic = (
        QdqPlan(tuple(node for node in plan.nodes if node.scale == scale)) for scale in ("static", "dynamic")
    )
    return static, dynamic


def _is_theirs(view: GraphView, weight: WeightInput) -> bool:
    """Return whether all who read a weight are products that read it in the same way."""
    readers = [find_weight(view, node) for node in view.consumers[weight.source]]
    return all(reader is not None and replace(reader, bias_index=weight.bias_index) == weight for reader in readers)
