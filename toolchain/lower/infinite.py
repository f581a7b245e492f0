"""Layers that int8 cannot compute because a tensor of theirs is infinite: no integer stands for an infinity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from toolchain.graph.view import GraphView
from toolchain.lower.calibration.observation import Observation
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme


def explain_infinite(
    model: onnx.ModelProto, plan: QdqPlan, observations: Mapping[str, Observation], scheme: Scheme
) -> dict[str, str]:
    """Return the nodes of the plan that read or return an infinite tensor, each with the tensor and the sample.

    A mask of -inf is meant, and a range that held it would leave one integer for everything else.
    """
    view = GraphView.from_model(model)
    found: dict[str, str] = {}
    for node in plan.nodes:
        names = [name for name in (*node.activations, node.output) if name is not None and name in observations]
        infinite = next((name for name in names if observations[name].infinite_in is not None), None)
        if infinite is not None:
            sample = observations[infinite].infinite_in
            found[node.name] = f"tensor {infinite} is infinite on calibration sample {sample}: int8 has no infinity"
        elif (constant := _find_infinite_constant(view, node, scheme)) is not None:
            found[node.name] = f"constant {constant} holds an infinity or NaN: int8 has none"
    return found


def _find_infinite_constant(view: GraphView, node: QuantizedNode, scheme: Scheme) -> str | None:
    """Return the weight or bias of a node that would be stored as integers and is not finite."""
    if node.weight is None:
        return None
    original = next(other for other in view.model.graph.node if other.name == node.name)
    indexes = [node.weight.index, node.weight.bias_index if scheme.int32_bias else None]
    for name in [original.input[index] for index in indexes if index is not None]:
        value = view.constant(name)
        if value is not None and not np.isfinite(value.astype(np.float32)).all():
            return str(name)
    return None
