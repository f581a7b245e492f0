"""Lowering for ONNX Runtime's CPU provider: which nodes gain from int8 and where their pairs stand.

What the runtime fuses was read off its optimized graphs (docs/lowering.md): Conv needs a pair behind it,
Gemm and MatMul may leave in float, a Relu or Clip between node and pair disappears into the saturation.
Everything that is not named here (masks, shape arithmetic, normalization, recurrent cells, products of two
activations) stays as it is.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.agent.measure.onnxruntime_profile import strip_name
from toolchain.graph.file import write_onnx
from toolchain.graph.session import profile_runs
from toolchain.graph.view import GraphView
from toolchain.lower.cpu import lower_to_float, lower_to_int8
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.dynamic.recurrent import add_recurrent
from toolchain.lower.moved_values import MOVES_VALUES
from toolchain.lower.packing import pack_weights
from toolchain.lower.planning import absorb_activation, drop_dead_ends
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme
from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.lower.separate_bias import separate_biases
from toolchain.lower.trial import find_kernels
from toolchain.lower.weighted import find_held_weights, find_weight

# Enough for a median that ignores the first, slow runs; fewer of a model that takes long.
_PROFILED_RUNS = 25
_PROFILED_S = 1.0

# Operators whose int8 kernel reads and writes 8-bit tensors. They join only between int8 neighbours:
# alone, the conversion around them costs more than they gain.
_BETWEEN_INT8 = frozenset({"Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool", "Sigmoid", "LeakyRelu"})

_ABSORBED = frozenset({"Relu", "Clip"})

_SAFE_WEIGHTS = (
    "weights of 8 bits, or of as many as are exact: this x86 CPU has no VNNI, its int8 products saturate at 16 bits"
)


def int8_policy(scheme: Scheme, *, kernels: str | None = "onnxruntime") -> Int8Policy:
    """Return how ONNX Runtime's CPU provider computes in int8; kernels is None where this machine is not the target.

    Where the CPU's products saturate, how its kernels pair them is known: weights keep 8 bits, at scales that are safe.
    """
    if scheme.saturates:
        scheme = replace(scheme, weight_bits=8, reason=f"{scheme.activation_type} activations, {_SAFE_WEIGHTS}")
    # DynamicQuantizeLinear makes uint8 alone: where a target asks for int8 activations, none of it is right.
    has_dynamic = scheme.activation_type == "uint8"
    return Int8Policy(
        # What a recurrent cell would be on other CPUs is not computed here (lower/dynamic/emulation.py).
        plan=plan_int8 if kernels is None or not has_dynamic else plan_with_recurrent,
        scheme=scheme,
        float_ops=_FLOAT_OPS,
        kernels=kernels,
        prepare=separate_biases,
        has_dynamic=has_dynamic,
        has_tables=True,
        has_blocks=True,
    )


def preview(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Int8Policy]:
    """Return the model as int8 would be planned for it, and the policy (toolchain/lower/preview.py)."""
    return model, int8_policy(choose_scheme("x86_64", frozenset(), "auto"), kernels=None)


def plan_int8(model: onnx.ModelProto, keep_float: frozenset[str] = frozenset()) -> QdqPlan:
    """Return the nodes that compute in int8, without those whose names are in keep_float."""
    view = GraphView.from_model(model)
    nodes: dict[str, QuantizedNode] = {}
    held = find_held_weights(view, keep_float)
    returned: dict[str, str] = {}  # tensor that an int8 node returns -> that node's name
    for node in model.graph.node:
        if node.name in keep_float:
            continue
        planned = _plan_weighted(view, node, held) or _plan_between(view, node, frozenset(returned))
        if planned is not None:
            nodes[planned.name] = planned
            if planned.output is not None:
                returned[planned.output] = planned.name
    drop_dead_ends(view, nodes)
    _leave_in_float(view, nodes)
    return QdqPlan(tuple(nodes.values()))


def plan_with_recurrent(model: onnx.ModelProto, keep_float: frozenset[str] = frozenset()) -> QdqPlan:
    """Return the plan of all layers, with the LSTMs that can be in int8."""
    return add_recurrent(plan_int8(model, keep_float), model, keep_float)


# Why operators that multiply are never candidates for int8 here; lower/float_reasons.py explains the others.
_FLOAT_OPS = {
    "LSTM": "a recurrent cell: its int8 kernel takes weights of its own, and is tried on the target's own CPU alone",
    "GRU": "a recurrent cell: ONNX Runtime has no int8 kernel for it",
    "RNN": "a recurrent cell: ONNX Runtime has no int8 kernel for it",
    "ConvTranspose": "ONNX Runtime has no int8 kernel for it on the CPU",
}


def _plan_weighted(view: GraphView, node: onnx.NodeProto, held: Mapping[str, str]) -> QuantizedNode | None:
    """Return the plan of a Conv, Gemm or MatMul with a constant float32 weight that no float layer shares."""
    weight = find_weight(view, node)
    if weight is None or weight.source in held:
        return None
    return QuantizedNode(node.name, node.op_type, (node.input[0],), weight, absorb_activation(view, node, _ABSORBED))


def _plan_between(view: GraphView, node: onnx.NodeProto, returned: frozenset[str]) -> QuantizedNode | None:
    """Return the plan of a node without weights all of whose activations come from int8 nodes."""
    moves = node.op_type in MOVES_VALUES
    if not moves and node.op_type not in _BETWEEN_INT8:
        return None
    activations = (node.input[0],) if moves else tuple(node.input)
    if not activations or not set(activations) <= returned or len(node.output) != 1:
        return None
    output = node.output[0] if moves else absorb_activation(view, node, _ABSORBED)
    return QuantizedNode(node.name, node.op_type, activations, None, output, shares_range=moves)


def _leave_in_float(view: GraphView, nodes: dict[str, QuantizedNode]) -> None:
    """Let Gemm and MatMul return float where not all readers are int8: their kernels can, and it is exact."""
    for name, node in nodes.items():
        if node.op_type not in {"Gemm", "MatMul"} or node.output is None:
            continue
        readers = view.consumers.get(node.output, ())
        int8_only = all(reader.name in nodes and node.output in nodes[reader.name].activations for reader in readers)
        if not readers or not int8_only or node.output in view.output_names:
            nodes[name] = replace(node, output=None)


def lower_float32(request: LowerRequest, folder: Path, _start_steps: StartSteps) -> dict[str, Any]:
    """Write the float model as it is, optimized or the user's own, with its weights packed."""
    return lower_to_float(request, folder, write=_write_packed)


def lower_int8(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    """Write the int8 model with the weights of float layers packed; one that came quantized is passed through."""
    facts = request.facts
    scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), request.target.activation_type)
    policy = int8_policy(scheme, kernels=find_kernels(request.target.runtime, facts))
    return lower_to_int8(request, folder, start_steps, policy=policy, write=_write_packed)


def _write_packed(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    """Write the model with packed weights; return what was packed, and how."""
    packed_model, packed = pack_weights(model)
    write_onnx(packed_model, path, step="packing" if packed else "lowering")
    return {"packed_weights": [asdict(weight) for weight in packed]}


def profile_layers(
    model: onnx.ModelProto, inputs: Mapping[str, NDArray[np.generic]], *, threads: int
) -> dict[str, float]:
    """Return the median time of each layer in microseconds, by the runtime's name of it without its additions."""
    events = profile_runs(model, inputs, threads=threads, runs=_PROFILED_RUNS, limit_s=_PROFILED_S)
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[strip_name(event["name"])].append(float(event["dur"]))
    return {name: statistics.median(durations) for name, durations in times.items()}


PROFILES_ALL = True
"""profile_layers shows every kernel of a run."""

LOWERINGS: Mapping[str, Lowering] = {"float32": lower_float32, "int8": lower_int8}
