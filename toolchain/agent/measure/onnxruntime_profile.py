"""Reads ONNX Runtime's profile of one run: which kernel ran each layer, at which precision, with how many MACs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..errors import ExitCode, ToolchainError
from .layer_times import Kernel
from .macs import (
    CountMacs,
    Shape,
    count_conv,
    count_conv_transpose,
    count_matmul,
    count_nothing,
    count_recurrent,
    multiply,
)
from .placement import Layer

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
_SIZES = {"int8": 1, "uint8": 1, "bool": 1, "float16": 2, "bfloat16": 2, "int16": 2, "double": 8, "int64": 8}
_PRECISIONS = {"float": "float32", "double": "float64", "float16": "fp16", "bfloat16": "bf16"}


# What ONNX Runtime's transformers add to the name of a node, or of the tensor that a blocked (NCHWc) kernel returns.
_ADDED = re.compile(r"^fused |(/MatMulAddFusion|/MatMulScaleFusion/|_nchwc|_nhwc|_token_\d+|_kernel_time)+$")


def read_profile(path: Path) -> List[Dict[str, Any]]:
    """Return the events of a profile; raises ToolchainError (exit 14) for one that a full disk cut off, of which nothing tells."""
    try:
        events: List[Dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError) as error:
        raise ToolchainError(
            ExitCode.STORAGE,
            "the runtime could not write its profile",
            where=str(path.parent),
            expected="room for some megabytes",
            found=f"{path.stat().st_size} bytes, and then no more" if path.exists() else "no file",
            fix="free some space there, or name another folder for temporary files with TMPDIR",
        ) from error
    return events


def strip_name(name: str) -> str:
    """Return the name of a kernel without what ONNX Runtime added to it.

    It is the node's in the payload, or that of the tensor which leaves the kernel, the fused activation's included.
    """
    return _ADDED.sub("", name)


def _count_attention(shapes: Sequence[Shape], _output: Shape, _weight: int) -> Optional[int]:
    # Q (N, [heads,] S, E), K (N, [heads,] L, E), V (N, [heads,] L, F): Q times K transposed is S*L*E, and its product with V
    # S*L*F. Where the heads lie in the last axis, E counts all of them and so does the sum; K and V may have
    # fewer heads than Q, which repeats them.
    if len(shapes) < 3 or len({len(shape) for shape in shapes[:3]}) != 1 or len(shapes[0]) not in (3, 4):
        return None
    query, key, value = shapes[:3]
    if len(query) == 4:
        return multiply(query[:3]) * key[2] * (query[3] + value[3])
    return query[0] * query[1] * key[1] * (query[2] + value[2] * query[2] // key[2])


def _count_packed_attention(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    # com.microsoft.Attention: X (N, S, I) * W (I, Q + K + V), then attention as above with the hidden size of V.
    if len(shapes) <= weight or len(shapes[0]) != 3 or len(shapes[weight]) != 2 or len(output) != 3:
        return None
    samples, length, _ = shapes[0]
    projected = samples * length * multiply(shapes[weight])
    hidden_q = (shapes[weight][1] - output[2]) // 2
    return projected + samples * length * length * (hidden_q + output[2])


def _count_blocks(shapes: Sequence[Shape], output: Shape, _weight: int) -> Optional[int]:
    # com.microsoft.MatMulNBits: X (..., K) times a weight that is packed in blocks, Y (..., N).
    return multiply(output) * shapes[0][-1] if shapes and shapes[0] else None


_Rule = Tuple[CountMacs, int]

# What counts the MACs of an operator, and the index of its weights among its inputs.
RULES: Dict[str, _Rule] = {
    "Conv": (count_conv, 1),
    "FusedConv": (count_conv, 1),
    "NhwcConv": (count_conv, 1),
    "NhwcFusedConv": (count_conv, 1),
    "ConvInteger": (count_conv, 1),
    "QLinearConv": (count_conv, 3),
    "ConvTranspose": (count_conv_transpose, 1),
    "MatMul": (count_matmul, 1),
    "FusedMatMul": (count_matmul, 1),
    "MatMulInteger": (count_matmul, 1),
    "MatMulIntegerToFloat": (count_matmul, 1),
    "DynamicQuantizeMatMul": (count_matmul, 1),
    "QLinearMatMul": (count_matmul, 3),
    "Gemm": (count_matmul, 1),
    "FusedGemm": (count_matmul, 1),
    "QGemm": (count_matmul, 3),
    "LSTM": (count_recurrent, 1),
    "GRU": (count_recurrent, 1),
    "RNN": (count_recurrent, 1),
    "DynamicQuantizeLSTM": (count_recurrent, 1),
    "MatMulNBits": (_count_blocks, 1),
    "Attention": (_count_attention, 1),
    "MultiHeadAttention": (_count_attention, 1),
    # These multiply too, but shapes do not tell how much, or at which precision.
    "DeformConv": (count_nothing, 0),
    "Einsum": (count_nothing, 0),
    "GroupQueryAttention": (count_nothing, 0),
    "MoE": (count_nothing, 0),
    "QAttention": (count_nothing, 0),
    "QMoE": (count_nothing, 0),
    "SparseAttention": (count_nothing, 0),
}


def _split_types(entries: Sequence[Mapping[str, Shape]]) -> Tuple[List[str], List[Shape]]:
    # [{"float": [1, 3, 16, 16]}, {"uint8": []}]: one entry for each input that is there.
    pairs = [pair for entry in entries for pair in entry.items()]
    return [kind for kind, _ in pairs], [shape for _, shape in pairs]


def _read_layer(event: Mapping[str, Any]) -> Layer:
    arguments = event["args"]
    op = arguments["op_name"]
    kinds, shapes = _split_types(arguments["input_type_shape"])
    _, outputs = _split_types(arguments["output_type_shape"])
    count, weight = RULES[op]
    if op == "Attention" and len(shapes) > 1 and len(shapes[1]) == 2:
        count = _count_packed_attention
    kind = kinds[0] if kinds else "unknown"
    return Layer(
        name=strip_name(event["name"]),
        op=op,
        precision="int8" if op in _INT8_OPS else _PRECISIONS.get(kind, kind),
        macs=count(shapes, outputs[0], weight) if outputs else None,
        moved_bytes=_count_bytes(arguments["input_type_shape"], arguments["output_type_shape"]),
    )


def _count_bytes(*sides: Sequence[Mapping[str, Shape]]) -> int:
    entries = [pair for side in sides for entry in side for pair in entry.items()]
    return sum(_SIZES.get(kind, 4) * multiply(shape) for kind, shape in entries)


def read_kernels(events: Iterable[Mapping[str, Any]]) -> Tuple[List[Kernel], List[float]]:
    """Return the kernels of a profile of some runs, in the order of execution, and the µs of each whole run.

    What a loop runs several times is one kernel with the time of all its steps; the first run, which is slow, is left out
    of each median where there are others.
    """
    runs_us = [float(event["dur"]) for event in events if event["name"] == "model_run"]
    times_us: Dict[Tuple[str, str], List[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (strip_name(event["name"]), str(event["args"].get("op_name", "")))
            times_us.setdefault(key, []).append(float(event["dur"]))
    kernels = []
    for (name, op), each_us in times_us.items():
        steps = max(1, len(each_us) // max(1, len(runs_us)))
        sums_us = [sum(each_us[start : start + steps]) for start in range(0, len(each_us), steps)]
        kernels.append(Kernel(name=name, op=op, median_us=median(sums_us[1:] or sums_us)))
    return kernels, runs_us[1:] or runs_us


def read_layers(events: Iterable[Mapping[str, Any]]) -> Tuple[Layer, ...]:
    """Return the layers that multiply, from the events of a profile of one run without prepacked weights.

    A layer inside a loop is one layer with the MACs of all its steps.
    """
    layers: Dict[Tuple[str, str], Layer] = {}
    for event in events:
        is_kernel = event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
        if not is_kernel or event["args"].get("op_name") not in RULES:
            continue
        layer = _read_layer(event)
        before = layers.get((layer.name, layer.op))
        if before is not None:
            macs = None if before.macs is None or layer.macs is None else before.macs + layer.macs
            moved = None if before.moved_bytes is None else before.moved_bytes + (layer.moved_bytes or 0)
            layer = Layer(layer.name, layer.op, layer.precision, macs, moved)
        layers[layer.name, layer.op] = layer
    return tuple(layers.values())
