"""Lowering for ONNX Runtime's CPU provider: which nodes gain from int8 and where their pairs stand.

What the runtime fuses was read off its optimized graphs (docs/lowering.md): Conv needs a pair behind it,
Gemm and MatMul may leave in float, a Relu or Clip between node and pair disappears into the saturation.
Everything that is not named here (masks, shape arithmetic, normalization, recurrent cells, products of two
activations) stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import onnx

from toolchain.agent.measure.facts import is_this_cpu
from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.graph.file import write_onnx
from toolchain.graph.view import GraphView
from toolchain.lower.came_quantized import came_quantized, describe_passed_through
from toolchain.lower.float_graph import bind_comparison, choose_float_graph
from toolchain.lower.int8 import describe_int8
from toolchain.lower.int8 import lower_int8 as lower_to_int8
from toolchain.lower.layer_times import name_layers
from toolchain.lower.moved_values import MOVES_VALUES
from toolchain.lower.packing import pack_weights
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme
from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.lower.weighted import find_held_weights, find_weight
from toolchain.lower.widened import widen

# Operators whose int8 kernel reads and writes 8-bit tensors. They join only between int8 neighbours:
# alone, the conversion around them costs more than they gain.
_BETWEEN_INT8 = frozenset({"Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool", "Sigmoid", "LeakyRelu"})

_ABSORBED = frozenset({"Relu", "Clip"})

VNNI = frozenset({"avx512_vnni", "avx_vnni"})
"""The features of an x86 CPU that sums int8 products in 32 bits, one of which is enough."""


def choose_scheme(arch: str, cpu_features: frozenset[str], requested: str) -> Scheme:
    """Return how int8 is stored for a CPU; `requested` is the target's activation_type.

    Without VNNI, x86 multiplies uint8 by int8 into saturating int16 (vpmaddubsw): two products of full range
    overflow, so weights keep 7 bits there. ARM's and VNNI's dot products sum in int32.
    """
    activation = "uint8" if requested == "auto" else requested
    saturates = arch == "x86_64" and not cpu_features & VNNI
    reason = f"{activation} activations, " + (
        "7-bit weights: this x86 CPU has no VNNI, its int8 products saturate at 16 bits"
        if saturates
        else "8-bit weights: the CPU sums int8 products in 32 bits"
    )
    return Scheme(
        activation_type="int8" if activation == "int8" else "uint8",
        symmetric=False,
        weight_bits=7 if saturates else 8,
        reason=reason,
    )


def int8_policy(scheme: Scheme, *, host_kernels: bool = True) -> Int8Policy:
    """Return how ONNX Runtime's CPU provider computes in int8; host_kernels says whether this machine is the target."""
    return Int8Policy(plan=plan_int8, scheme=scheme, float_ops=_FLOAT_OPS, host_kernels=host_kernels)


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
    _drop_dead_ends(view, nodes)
    _leave_in_float(view, nodes)
    return QdqPlan(tuple(nodes.values()))


# Why operators that multiply are never candidates for int8 here; lower/float_reasons.py explains the others.
_FLOAT_OPS = {
    "LSTM": "a recurrent cell: ONNX Runtime has no static int8 kernel for it",
    "GRU": "a recurrent cell: ONNX Runtime has no static int8 kernel for it",
    "RNN": "a recurrent cell: ONNX Runtime has no static int8 kernel for it",
    "ConvTranspose": "ONNX Runtime has no int8 kernel for it on the CPU",
}


def _plan_weighted(view: GraphView, node: onnx.NodeProto, held: Mapping[str, str]) -> QuantizedNode | None:
    """Return the plan of a Conv, Gemm or MatMul with a constant float32 weight that no float layer shares."""
    weight = find_weight(view, node)
    if weight is None or weight.source in held:
        return None
    return QuantizedNode(node.name, node.op_type, (node.input[0],), weight, _absorb(view, node))


def _plan_between(view: GraphView, node: onnx.NodeProto, returned: frozenset[str]) -> QuantizedNode | None:
    """Return the plan of a node without weights all of whose activations come from int8 nodes."""
    moves = node.op_type in MOVES_VALUES
    if not moves and node.op_type not in _BETWEEN_INT8:
        return None
    activations = (node.input[0],) if moves else tuple(node.input)
    if not activations or not set(activations) <= returned or len(node.output) != 1:
        return None
    output = node.output[0] if moves else _absorb(view, node)
    return QuantizedNode(node.name, node.op_type, activations, None, output, shares_range=moves)


def _absorb(view: GraphView, node: onnx.NodeProto) -> str:
    """Return the tensor behind a Relu or Clip that is the node's only reader, or the node's own output."""
    consumer = view.only_consumer(node.output[0])
    if consumer is None or consumer.op_type not in _ABSORBED:
        return str(node.output[0])
    return str(consumer.output[0])


def _drop_dead_ends(view: GraphView, nodes: dict[str, QuantizedNode]) -> None:
    """Take out nodes without weights that no int8 node reads: their integers would be converted back at once."""
    changed = True
    while changed:
        dead = [
            node.name
            for node in nodes.values()
            if node.weight is None
            and not any(reader.name in nodes for reader in view.consumers.get(node.output or "", ()))
        ]
        for name in dead:
            del nodes[name]
        changed = bool(dead)


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
    """ONNX Runtime takes the float model as it is, optimized or the user's own, with its weights packed."""
    is_here = is_this_cpu(request.facts) and request.options.choose_by_measurement
    choice = choose_float_graph(
        onnx.load(request.model),
        onnx.load(request.exported),
        bind_comparison(request.feeds[0], threads=request.target.threads) if is_here else None,
    )
    return {
        "kept_in_float": [],
        "optimization": choice.describe(),
        "packed_weights": _write_packed(choice.model, folder),
    }


def lower_int8(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    """Write the int8 model; one that came quantized is passed through."""
    facts, model = request.facts, onnx.load(request.model)
    if came_quantized(model):
        return {**describe_passed_through(model), "layer_names": {}, "packed_weights": _write_packed(model, folder)}
    scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), request.target.activation_type)
    widened = widen(model, request.feeds)
    lowering = lower_to_int8(
        widened.model,
        request.feeds,
        options=request.options,
        policy=int8_policy(scheme, host_kernels=is_this_cpu(facts)),
        sqnr_db_min=request.sqnr_db_min.get("int8", DEFAULT_SQNR_DB_MIN["int8"]),
        threads=request.target.threads,
        start_steps=start_steps,
    )
    document = describe_int8(lowering, notes=widened.notes)
    multiplying = [layer["name"] for layer in document["kept_in_float"]] + list(lowering.plan.weighted_layers)
    return {
        **document,
        "layer_names": name_layers(lowering.model, multiplying),
        "packed_weights": _write_packed(lowering.model, folder),
    }


def _write_packed(model: onnx.ModelProto, folder: Path) -> list[dict[str, Any]]:
    """Write the model with packed weights; return what was packed, and how."""
    packed_model, packed = pack_weights(model)
    write_onnx(packed_model, folder / "model.onnx", step="packing" if packed else "lowering")
    return [asdict(weight) for weight in packed]


LOWERINGS: Mapping[str, Lowering] = {"float32": lower_float32, "int8": lower_int8}
