"""The int8 policy of a runtime: what calibration, search and writer must know of it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import onnx

from toolchain.graph.set_aside import list_large_weights, put_weights_back, set_weights_aside
from toolchain.graph.view import GraphView
from toolchain.lower.adjustment import Adjustment, adjust_layers
from toolchain.lower.dynamic.plan import split_plan
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.qdq import write_qdq
from toolchain.lower.qdq_plan import QdqPlan, Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.sensor_bytes import feed_bytes

_PLAIN = Adjustment()

# Who reads what may go around the writers; a table of embeddings is written anew (lower/tables).
_READ_BY = frozenset({"Conv", "Gemm", "MatMul", "Transpose"})


def _leave(model: onnx.ModelProto) -> onnx.ModelProto:
    return model


def _leave_planned(model: onnx.ModelProto, _plan: QdqPlan) -> onnx.ModelProto:
    return model


@dataclass(frozen=True)
class Int8Policy:
    """How one runtime computes in int8."""

    plan: Callable[[onnx.ModelProto, frozenset[str]], QdqPlan]
    """Returns the nodes of a float model that compute in int8, without those that must stay in float."""
    scheme: Scheme
    float_ops: Mapping[str, str]
    """Why a node that multiplies is never in a plan, by its operator."""
    finish: Callable[[onnx.ModelProto], onnx.ModelProto] = _leave
    """What is done last to the model with its pairs, such as float16 around them; too little to matter to a search."""
    kernels: str | None = None
    """The runtime of the target where this machine's own kernels are the target's, so that trials run on them."""
    timed_on: str | None = None
    """The runtime that layers are timed on, finished, where trials do not run on it: engines take minutes to build."""
    prepare: Callable[[onnx.ModelProto, QdqPlan], onnx.ModelProto] = _leave_planned
    """What is done to the float model that the plan's pairs are written into."""
    has_dynamic: bool = False
    """The runtime has kernels for products whose activation gets its scale in each run (lower/dynamic)."""
    has_tables: bool = False
    """Tables of embeddings may be stored in int8 (lower/tables)."""
    has_blocks: bool = False
    """Products that stay in float may store their weight alone in 8 bits (lower/blocks)."""

    def limit(self, tensors: Collection[str]) -> Int8Policy:
        """Return the policy with plans that quantize these tensors only, those that have a range.

        With a layer in float, TensorRT's shortcut of an Add may become a tensor that the plan of all layers lacks.
        """

        def plan(model: onnx.ModelProto, keep_float: frozenset[str]) -> QdqPlan:
            nodes = self.plan(model, keep_float).nodes
            known = {None, *tensors}
            return QdqPlan(
                tuple(node for node in nodes if node.scale == "dynamic" or {*node.activations, node.output} <= known)
            )

        return replace(self, plan=plan)

    def write(
        self,
        model: onnx.ModelProto,
        ranges: Mapping[str, TensorRange],
        keep_float: frozenset[str],
        *,
        adjustment: Adjustment = _PLAIN,
    ) -> onnx.ModelProto:
        """Return the model with its pairs, these layers in float, before it is finished."""
        plan = self.plan(model, keep_float)
        # Each step copies what the step before made of the model: weights that stay as they are go around all of them.
        aside = _list_untouched(model, plan)
        lean = set_weights_aside(model, aside) if aside else model
        if adjustment.shifts:
            lean = adjust_layers(lean, adjustment, plan)
            plan = self.plan(lean, keep_float)
        static, dynamic = split_plan(plan)
        prepared = write_dynamic(self.prepare(lean, static), dynamic, self.scheme)
        made = feed_bytes(write_qdq(prepared, static, ranges, self.scheme))
        return put_weights_back(made, model, aside) if aside else made


def _list_untouched(model: onnx.ModelProto, plan: QdqPlan) -> frozenset[str]:
    """Return the large weights that only layers read which a plan leaves in float; nothing where the others are far more.

    Setting weights aside copies the others once more.
    """
    view, planned = GraphView.from_model(model), {node.name for node in plan.nodes}
    touched = {node.weight.source for node in plan.nodes if node.weight is not None}
    touched |= {name for node in model.graph.node if node.name in planned for name in node.input}
    sizes = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
    untouched = frozenset(
        name
        for name in list_large_weights(model)
        if name not in touched and len(view.initializers[name].dims) > 1
        if all(node.op_type in _READ_BY for node in view.consumers.get(name, ()))
    )
    aside_bytes = sum(sizes[name] for name in untouched)
    return untouched if 3 * aside_bytes > sum(sizes.values()) else frozenset()
