r"""The int8 policy of TensorRT's explicit quantization: which nodes compute in int8, and where their pairs stand.

NVIDIA's rules (TensorRT documentation, "Explicit Quantization", placement recommendations): quantize the inputs of
layers with weights and not their outputs, so that convolution, bias and activation stay one kernel and the pair behind
them becomes its output; in a residual block quantize the shortcut as well, or the fused kernel cannot return int8.
TensorRT moves the pairs itself through pooling, concatenation and transposition.

    x -> Q -> DQ -> Conv -> Relu -> Q -> DQ -> Conv -> Add -> Relu -> Q -> ...
          \------------------> DQ -----------------^

Zero points are 0, activations int8, weights int8 per output channel, and biases stay in float: the parser refuses an
int32 bias and every other zero point. Products of two activations (attention) stay in float, where TensorRT has fused
kernels for them.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from toolchain.graph.view import GraphView
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme
from toolchain.lower.weighted import find_held_weights, find_weight

# What may stand between an Add and the convolution that reads its sum in int8 (TensorRT fuses or moves them).
_ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSwish", "HardSigmoid"})

_FLOAT_OPS = {
    "LSTM": "a recurrent cell: TensorRT has no int8 kernel for it",
    "GRU": "a recurrent cell: TensorRT has no int8 kernel for it",
    "RNN": "a recurrent cell: TensorRT has no int8 kernel for it",
    "ConvTranspose": "this policy leaves transposed convolutions in float",
}


def tensorrt_policy(*, float16: bool, finish: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Int8Policy:
    """Return how TensorRT computes in int8, with float16 or float32 around it; `finish` makes it so."""
    scheme = Scheme(
        activation_type="int8",
        symmetric=True,
        weight_bits=8,
        reason="TensorRT's explicit quantization: symmetric int8, biases in float",
        int32_bias=False,
        float16_scales=float16,
        folds_constants=False,
    )
    return Int8Policy(plan=plan_int8, scheme=scheme, float_ops=_FLOAT_OPS, finish=finish)


def plan_int8(model: onnx.ModelProto, keep_float: frozenset[str] = frozenset()) -> QdqPlan:
    """Return the nodes that read int8, without those whose names are in keep_float."""
    view = GraphView.from_model(model)
    held = find_held_weights(view, keep_float)
    depths = _measure_depths(view)
    nodes: list[QuantizedNode] = []
    for node in model.graph.node:
        weight = find_weight(view, node) if node.name not in keep_float else None
        if weight is not None and weight.source not in held:
            nodes.append(QuantizedNode(node.name, node.op_type, (node.input[0],), weight, None))
    weighted = frozenset(node.name for node in nodes)
    read = frozenset(node.activations[0] for node in nodes)
    residuals = {
        node.name: QuantizedNode(node.name, node.op_type, (shortcut,), None, None)
        for node in model.graph.node
        if node.op_type == "Add" and node.name not in keep_float
        for shortcut in [_find_shortcut(view, node, weighted, depths)]
        if shortcut is not None and (shortcut in read or _is_read_in_int8(view, node.output[0], read))
    }
    planned = {node.name: node for node in nodes} | residuals
    return QdqPlan(tuple(planned[node.name] for node in model.graph.node if node.name in planned))


def _find_shortcut(
    view: GraphView, node: onnx.NodeProto, weighted: frozenset[str], depths: dict[str, int]
) -> str | None:
    """Return the input of an Add that is no result of an int8 convolution which only the Add reads, or None.

    Where both are such results, TensorRT fuses the Add into one of them: the end of the longer branch.
    """
    if len(set(node.input)) != 2 or any(view.is_constant(name) for name in node.input):
        return None
    fused = [
        name
        for name in node.input
        if (producer := view.producers.get(name)) is not None
        and producer.op_type == "Conv"
        and producer.name in weighted
        and view.only_consumer(name) is not None
    ]
    if not fused:
        return None
    main = max(fused, key=lambda name: depths.get(name, 0))
    return next(str(name) for name in node.input if name != main)


def _is_read_in_int8(view: GraphView, name: str, read: frozenset[str]) -> bool:
    """Return whether an int8 layer reads a tensor, directly or behind its activation."""
    readers = view.consumers.get(name, ())
    return name in read or any(
        output in read for reader in readers if reader.op_type in _ACTIVATIONS for output in reader.output
    )


def _measure_depths(view: GraphView) -> dict[str, int]:
    """Return for every tensor on how many nodes it rests, along the longest path."""
    depths: dict[str, int] = {}
    for node in view.model.graph.node:
        depth = 1 + max((depths.get(name, 0) for name in node.input), default=0)
        depths |= dict.fromkeys(node.output, depth)
    return depths
