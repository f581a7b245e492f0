r"""Lowering for OpenVINO's CPU plugin: which nodes gain from int8 and where their pairs stand.

What runs in int8 was read off compiled graphs (docs/openvino.md). Its low precision transformations move the
DequantizeLinear behind an operator down through it, and fold activation, Add and the next QuantizeLinear into the
convolution or matrix product before them:

    x -> Q -> DQ -> Conv -> Relu|Clip|HardSwish|Swish|Sigmoid|... -> Q -> DQ -> Conv -> Add -> Relu -> Q -> ...
          \------------------------------------> DQ ------------------------------------^

- Weights: int8 with zero points of 0. Another zero point, or uint8, leaves the layer in float and converts its weights
  anew at every run.
- Activations: uint8 with any zero point; int8 ones become uint8 for convolutions. ConvTranspose takes a zero point of 0
  only, which uint8 has where no value is below 0, as behind a Relu: elsewhere it stays in float. A product of two
  activations takes int8 with a zero point of 0 only, and stays in float here.
- Behind AveragePool there must be a pair: else the pooled value is rounded to 8 bits unasked (37 dB).
- The result of a convolution that only an Add reads needs no pair: with one, the kernel skips its rounding all the same,
  so that a trial by other kernels would see noise that is not there. The Add's other input needs one, or the sum runs in
  float by itself.
- Biases stay in float: they are added in float either way, and weight scales need no room for an int32 bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.agent.measure.openvino.compilation import COMPUTES_IN
from toolchain.agent.measure.openvino.kernels import time_kernels
from toolchain.agent.measure.runtimes import openvino
from toolchain.agent.temporary import TemporaryFolder
from toolchain.graph.view import GraphView, attribute_int
from toolchain.lower.bfloat16 import store_in_bfloat16
from toolchain.lower.cpu import lower_to_float, lower_to_int8, write_plain
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.float_graph import bind_comparison
from toolchain.lower.moved_values import MOVES_VALUES
from toolchain.lower.never_negative import is_never_negative
from toolchain.lower.planning import absorb_activation, drop_dead_ends
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme, WeightInput
from toolchain.lower.request import Lowering, LowerRequest, StartSteps
from toolchain.lower.rest_in_bf16 import choose_rest, describe_rest
from toolchain.lower.trial import find_kernels
from toolchain.lower.weighted import find_held_weights, find_weight

# Folded into the kernel before them; the pair stands behind them.
_ABSORBED = frozenset(
    "Relu Clip LeakyRelu PRelu Elu Sigmoid HardSwish Tanh Gelu".split()  # noqa: SIM905
)
# Read and return 8 bits between int8 neighbours. A pair behind AveragePool is necessary, behind the others it is free.
_BETWEEN_INT8 = frozenset({"Concat", "AveragePool", "GlobalAveragePool", "ReduceMean"})
# Only move or select values: the output keeps the input's scale and zero point.
_MOVES_VALUES = MOVES_VALUES | {"Slice"}

_RECURRENT = "a recurrent cell: OpenVINO refuses one whose weights are behind DequantizeLinear"
_FLOAT_OPS = {
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "ConvTranspose": "OpenVINO's int8 kernel takes inputs with a zero point of 0 only, as behind a Relu, and one group",
}

# Enough for a mean; a candidate is opened once, as it is compiled anew in every trial.
_PROFILED_RUNS = 20

# What an x86 or an ARM CPU with kernels for bf16 tells of itself, one of which is enough.
_HAS_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_NO_BF16 = (
    "the CPU that this is for tells of no bf16: OpenVINO computes in float32 there, and no gate takes that for bf16"
)


def int8_policy(scheme: Scheme, *, kernels: str | None = "openvino") -> Int8Policy:
    """Return how OpenVINO's CPU plugin computes in int8; kernels is None where this machine is not the target.

    Without VNNI its kernels saturate at 16 bits as ONNX Runtime's do, and 7-bit weights are exact there (docs/openvino.md).
    """
    scheme = replace(scheme, int32_bias=False)
    plan = partial(plan_int8, unsigned=scheme.activation_type == "uint8")
    return Int8Policy(plan=plan, scheme=scheme, float_ops=_FLOAT_OPS, kernels=kernels)


def preview(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Int8Policy]:
    """Return the model as int8 would be planned for it, and the policy (toolchain/lower/preview.py)."""
    return model, int8_policy(choose_scheme("x86_64", frozenset(), "auto"), kernels=None)


def plan_int8(model: onnx.ModelProto, keep_float: frozenset[str] = frozenset(), *, unsigned: bool = True) -> QdqPlan:
    """Return the nodes that compute in int8, without those whose names are in keep_float.

    unsigned: whether activations are uint8, whose zero point is 0 where no value is below 0.
    """
    view = GraphView.from_model(model)
    held = find_held_weights(view, keep_float)
    nodes: dict[str, QuantizedNode] = {}
    returned: dict[str, str] = {}  # tensor that an int8 node returns, with or without a pair -> that node's name
    for node in model.graph.node:
        if node.name in keep_float:
            continue
        planned = (
            _plan_weighted(view, node, held)
            or (_plan_transposed(view, node) if unsigned else None)
            or _plan_residual(view, node, nodes, returned)
            or _plan_between(view, node, frozenset(name for name in returned if _is_quantized(nodes, returned, name)))
        )
        if planned is None:
            continue
        nodes[node.name] = planned
        returned[planned.output or _absorb(view, node)] = node.name
    drop_dead_ends(view, nodes)
    _leave_in_float(view, nodes)
    return QdqPlan(tuple(nodes.values()))


def _plan_weighted(view: GraphView, node: onnx.NodeProto, held: Mapping[str, str]) -> QuantizedNode | None:
    weight = find_weight(view, node)
    if weight is None or weight.source in held:
        return None
    output = _absorb(view, node)
    consumer = view.only_consumer(output)
    feeds_add = consumer is not None and consumer.op_type == "Add" and output == node.output[0]
    return QuantizedNode(node.name, node.op_type, (node.input[0],), weight, None if feeds_add else output)


def _plan_transposed(view: GraphView, node: onnx.NodeProto) -> QuantizedNode | None:
    """Return the plan of a ConvTranspose whose input has a zero point of 0: no value of it is below 0."""
    if (
        node.op_type != "ConvTranspose"
        or attribute_int(node, "group", 1) != 1
        or not is_never_negative(view, node.input[0])
    ):
        return None
    weight, bias = view.initializers.get(node.input[1]), node.input[2] if len(node.input) > 2 else ""
    alone = len(view.consumers.get(node.input[1], ())) == 1
    if weight is None or weight.data_type != TensorProto.FLOAT or not alone or (bias and bias not in view.initializers):
        return None
    stored = WeightInput(index=1, axis=1, bias_index=2 if bias else None, source=node.input[1])
    return QuantizedNode(node.name, node.op_type, (node.input[0],), stored, _absorb(view, node))


def _plan_residual(
    view: GraphView, node: onnx.NodeProto, nodes: Mapping[str, QuantizedNode], returned: Mapping[str, str]
) -> QuantizedNode | None:
    """Return the plan of an Add that sums an int8 convolution's result and something else that may be read in int8.

    Where both are results of convolutions, the later one (in graph order) keeps its sum inside and the other is quantized.
    """
    if node.op_type != "Add" or len(set(node.input)) != 2 or any(view.is_constant(name) for name in node.input):
        return None
    inside = [name for name in node.input if name in returned and nodes[returned[name]].output is None]
    if not inside:
        return None
    order = list(nodes)
    main = max(inside, key=lambda name: order.index(returned[name]))
    shortcut = next(str(name) for name in node.input if name != main)
    return QuantizedNode(node.name, node.op_type, (shortcut,), None, _absorb(view, node))


def _plan_between(view: GraphView, node: onnx.NodeProto, quantized: frozenset[str]) -> QuantizedNode | None:
    moves = node.op_type in _MOVES_VALUES
    if not moves and node.op_type not in _BETWEEN_INT8:
        return None
    activations = tuple(node.input) if node.op_type == "Concat" else (node.input[0],)
    if not set(activations) <= quantized or len(node.output) != 1:
        return None
    output = node.output[0] if moves else _absorb(view, node)
    return QuantizedNode(node.name, node.op_type, activations, None, output, shares_range=moves)


def _is_quantized(nodes: Mapping[str, QuantizedNode], returned: Mapping[str, str], name: str) -> bool:
    return nodes[returned[name]].output == name


def _absorb(view: GraphView, node: onnx.NodeProto) -> str:
    """Return the tensor behind the activation that is the node's only reader, or the node's own output.

    x * Sigmoid(x) (Swish) has two readers of x, and is folded as well.
    """
    name = str(node.output[0])
    readers = view.consumers.get(name, ())
    if len(readers) == 2 and {reader.op_type for reader in readers} == {"Sigmoid", "Mul"}:
        gate, product = sorted(readers, key=lambda reader: reader.op_type, reverse=True)
        if set(product.input) == {name, gate.output[0]} and view.only_consumer(gate.output[0]) is not None:
            return str(product.output[0])
    return absorb_activation(view, node, _ABSORBED)


def _leave_in_float(view: GraphView, nodes: dict[str, QuantizedNode]) -> None:
    """Let every layer with weights return float that no int8 node reads: all its kernels can, and it is exact."""
    for name, node in nodes.items():
        if node.weight is None or node.output is None:
            continue
        readers = view.consumers.get(node.output, ())
        if not any(reader.name in nodes and node.output in nodes[reader.name].activations for reader in readers):
            nodes[name] = replace(node, output=None)


def lower_float32(request: LowerRequest, folder: Path, _start_steps: StartSteps) -> dict[str, Any]:
    """Write the float model as it is, optimized or the user's own."""
    return lower_to_float(request, folder, write=_write_unmarked)


def lower_bf16(request: LowerRequest, folder: Path, _start_steps: StartSteps) -> dict[str, Any]:
    """Write the float model with its weights in bfloat16, and the word that all of it is to be computed so."""
    told = frozenset(request.facts.cpu_features)
    notes = [] if told & _HAS_BF16 else [_NO_BF16]
    return {"notes": notes, **lower_to_float(request, folder, write=_write_bfloat16)}


def _write_unmarked(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    _unmark(model)
    return write_plain(model, path)


def _unmark(model: onnx.ModelProto) -> None:
    """Take the word out that a payload in bf16 has, in place: such a payload may be what the user brings."""
    kept = [entry for entry in model.metadata_props if entry.key != COMPUTES_IN]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def _write_bfloat16(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    stored, names = store_in_bfloat16(model)
    _mark(stored)
    write_plain(stored, path)
    return {"stored_in_bfloat16": list(names)}


def lower_int8(request: LowerRequest, folder: Path, start_steps: StartSteps) -> dict[str, Any]:
    """Write the int8 model; one that came quantized is passed through.

    Where the target lists bf16 too, what stays in float may be computed in it: measured, as everything that is chosen.
    """
    facts = request.facts
    scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), request.target.activation_type)
    kernels = find_kernels(request.target.runtime, facts)
    document = lower_to_int8(
        request, folder, start_steps, policy=int8_policy(scheme, kernels=kernels), write=_write_unmarked
    )
    may_be_bf16 = "bf16" in request.target.listed_precisions and frozenset(facts.cpu_features) & _HAS_BF16
    # A layer that the recipe keeps in float was asked for as it is.
    is_asked = not request.options.keep_float and request.options.choose_by_measurement
    if kernels is None or not may_be_bf16 or not is_asked or "accuracy" not in document:
        return document
    return _let_rest_be_bf16(request, folder / "model.onnx", kernels, document)


def _let_rest_be_bf16(request: LowerRequest, path: Path, kernels: str, document: dict[str, Any]) -> dict[str, Any]:
    """Mark the payload where its float layers are better off in bf16; return the document with what was found."""
    lowered, marked = onnx.load(path), onnx.load(path)
    _mark(marked)
    gate_db = request.sqnr_db_min.get("int8", DEFAULT_SQNR_DB_MIN["int8"])
    choice = choose_rest(
        lowered,
        marked,
        model=onnx.load(request.model),
        feeds=request.feeds,
        kernels=kernels,
        # Where a metric decided, what a board must find of the outputs is what the search found, less a margin.
        sqnr_db_min=document["accuracy"]["sqnr_db_min"] or gate_db,
        compare_speed=bind_comparison(request.feeds[0], kernels, threads=request.target.threads),
    )
    write_plain(choice.model, path)
    return {**document, "notes": [*document["notes"], *describe_rest(choice)], "rest": choice.describe()}


def _mark(model: onnx.ModelProto) -> None:
    """Add the word, in place, that all float layers are to be computed in bf16."""
    _unmark(model)
    model.metadata_props.add(key=COMPUTES_IN, value="bf16")


def profile_layers(
    model: onnx.ModelProto, inputs: Mapping[str, NDArray[np.generic]], *, threads: int
) -> dict[str, float]:
    """Return the mean time of each layer that multiplies in microseconds, by OpenVINO's name of it without its additions."""
    openvino.load()
    with TemporaryFolder() as folder:
        path = folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        found, _ = time_kernels(path, threads, inputs, openings=1, runs=_PROFILED_RUNS)
    times = {kernel.layers[0]: kernel.median_us for kernel in found if len(kernel.layers) == 1}
    return {name: time_us for name, time_us in times.items() if time_us > 0}


LOWERINGS: Mapping[str, Lowering] = {"float32": lower_float32, "bf16": lower_bf16, "int8": lower_int8}
