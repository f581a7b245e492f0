"""Reads ONNX Runtime's profile of one run: which kernel ran each layer, at which precision, with how many MACs."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from .placement import Layer

_Shape = List[int]

# Kernels whose multiplications are int8 by int8, whatever the type of their first input.
_INT8_OPS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
# The types of the profile (onnxruntime/core/framework/sequential_executor.cc) in the words of recipes and targets.
_PRECISIONS = {"float": "float32", "double": "float64", "float16": "fp16", "bfloat16": "bf16"}


# What ONNX Runtime's transformers add to the name of a node, or of the tensor that a blocked (NCHWc) kernel returns.
_ADDED = re.compile(r"^fused |(/MatMulAddFusion|/MatMulScaleFusion/|_nchwc|_nhwc|_token_\d+|_kernel_time)+$")


def strip_name(name: str) -> str:
    """Return the name of a kernel without what ONNX Runtime added to it.

    It is the node's in the payload, or that of the tensor which leaves the kernel, the fused activation's included.
    """
    return _ADDED.sub("", name)


def _multiply(sizes: Iterable[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _count_conv(shapes: Sequence[_Shape], output: _Shape, weight: int) -> Optional[int]:
    # Weight (M, C/group, *kernel): each output element takes the C/group * kernel products of its output channel.
    if len(shapes) <= weight or not shapes[weight]:
        return None
    return _multiply(output) * _multiply(shapes[weight][1:])


def _count_conv_transpose(shapes: Sequence[_Shape], _output: _Shape, weight: int) -> Optional[int]:
    # Weight (C, M/group, *kernel): each input element is spread over the M/group * kernel of its input channel.
    if len(shapes) <= weight or not shapes[weight]:
        return None
    return _multiply(shapes[0]) * _multiply(shapes[weight][1:])


def _count_matmul(shapes: Sequence[_Shape], output: _Shape, weight: int) -> Optional[int]:
    # (..., M, K) * (..., K, N), either one possibly transposed: whichever way round, the last two of A are M and K.
    if len(shapes) <= weight or not shapes[0] or not shapes[weight]:
        return None
    if len(shapes[0]) == 1:
        return _multiply(output) * shapes[0][0]
    columns_are_dropped = len(shapes[weight]) == 1
    rows = (output if columns_are_dropped else output[:-1])[-1:]
    depth, rest = divmod(_multiply(shapes[0][-2:]), _multiply(rows) or 1)
    return None if rest else _multiply(output) * depth


def _count_recurrent(shapes: Sequence[_Shape], _output: _Shape, weight: int) -> Optional[int]:
    # X (T, N, I) or (N, T, I), W (D, gates * H, I), R (D, gates * H, H): every step of every sample uses W and R once.
    if len(shapes) <= weight + 1:
        return None
    return _multiply(shapes[0][:2]) * (_multiply(shapes[weight]) + _multiply(shapes[weight + 1]))


def _count_attention(shapes: Sequence[_Shape], _output: _Shape, _weight: int) -> Optional[int]:
    # Q (N, [heads,] S, E), K (N, [heads,] L, E), V (N, [heads,] L, F): Q times K transposed is S*L*E, and its product with V
    # S*L*F. Where the heads lie in the last axis, E counts all of them and so does the sum; K and V may have
    # fewer heads than Q, which repeats them.
    if len(shapes) < 3 or len({len(shape) for shape in shapes[:3]}) != 1 or len(shapes[0]) not in (3, 4):
        return None
    query, key, value = shapes[:3]
    if len(query) == 4:
        return _multiply(query[:3]) * key[2] * (query[3] + value[3])
    return query[0] * query[1] * key[1] * (query[2] + value[2] * query[2] // key[2])


def _count_packed_attention(shapes: Sequence[_Shape], output: _Shape, weight: int) -> Optional[int]:
    # com.microsoft.Attention: X (N, S, I) * W (I, Q + K + V), then attention as above with the hidden size of V.
    if len(shapes) <= weight or len(shapes[0]) != 3 or len(shapes[weight]) != 2 or len(output) != 3:
        return None
    samples, length, _ = shapes[0]
    projected = samples * length * _multiply(shapes[weight])
    hidden_q = (shapes[weight][1] - output[2]) // 2
    return projected + samples * length * length * (hidden_q + output[2])


def _count_nothing(_shapes: Sequence[_Shape], _output: _Shape, _weight: int) -> Optional[int]:
    return None


_Rule = Tuple[Callable[[Sequence[_Shape], _Shape, int], Optional[int]], int]

# What counts the MACs of an operator, and the index of its weights among its inputs.
_RULES: Dict[str, _Rule] = {
    "Conv": (_count_conv, 1),
    "FusedConv": (_count_conv, 1),
    "NhwcConv": (_count_conv, 1),
    "NhwcFusedConv": (_count_conv, 1),
    "ConvInteger": (_count_conv, 1),
    "QLinearConv": (_count_conv, 3),
    "ConvTranspose": (_count_conv_transpose, 1),
    "MatMul": (_count_matmul, 1),
    "FusedMatMul": (_count_matmul, 1),
    "MatMulInteger": (_count_matmul, 1),
    "MatMulIntegerToFloat": (_count_matmul, 1),
    "DynamicQuantizeMatMul": (_count_matmul, 1),
    "QLinearMatMul": (_count_matmul, 3),
    "Gemm": (_count_matmul, 1),
    "FusedGemm": (_count_matmul, 1),
    "QGemm": (_count_matmul, 3),
    "LSTM": (_count_recurrent, 1),
    "GRU": (_count_recurrent, 1),
    "RNN": (_count_recurrent, 1),
    "DynamicQuantizeLSTM": (_count_recurrent, 1),
    "Attention": (_count_attention, 1),
    "MultiHeadAttention": (_count_attention, 1),
    # These multiply too, but shapes do not tell how much, or at which precision.
    "DeformConv": (_count_nothing, 0),
    "Einsum": (_count_nothing, 0),
    "GroupQueryAttention": (_count_nothing, 0),
    "MatMulNBits": (_count_nothing, 0),
    "MoE": (_count_nothing, 0),
    "QAttention": (_count_nothing, 0),
    "QMoE": (_count_nothing, 0),
    "SparseAttention": (_count_nothing, 0),
}


def _split_types(entries: Sequence[Mapping[str, _Shape]]) -> Tuple[List[str], List[_Shape]]:
    # [{"float": [1, 3, 16, 16]}, {"uint8": []}]: one entry for each input that is there.
    pairs = [pair for entry in entries for pair in entry.items()]
    return [kind for kind, _ in pairs], [shape for _, shape in pairs]


def _read_layer(event: Mapping[str, Any]) -> Layer:
    arguments = event["args"]
    op = arguments["op_name"]
    kinds, shapes = _split_types(arguments["input_type_shape"])
    _, outputs = _split_types(arguments["output_type_shape"])
    count, weight = _RULES[op]
    if op == "Attention" and len(shapes) > 1 and len(shapes[1]) == 2:
        count = _count_packed_attention
    kind = kinds[0] if kinds else "unknown"
    return Layer(
        name=strip_name(event["name"]),
        op=op,
        precision="int8" if op in _INT8_OPS else _PRECISIONS.get(kind, kind),
        macs=count(shapes, outputs[0], weight) if outputs else None,
    )


def read_layers(events: Iterable[Mapping[str, Any]]) -> Tuple[Layer, ...]:
    """Return the layers that multiply, from the events of a profile of one run without prepacked weights.

    A layer inside a loop is one layer with the MACs of all its steps.
    """
    layers: Dict[Tuple[str, str], Layer] = {}
    for event in events:
        is_kernel = event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        if not is_kernel or event["args"].get("op_name") not in _RULES:
            continue
        layer = _read_layer(event)
        before = layers.get((layer.name, layer.op))
        if before is not None:
            macs = None if before.macs is None or layer.macs is None else before.macs + layer.macs
            layer = Layer(name=layer.name, op=layer.op, precision=layer.precision, macs=macs)
        layers[layer.name, layer.op] = layer
    return tuple(layers.values())
