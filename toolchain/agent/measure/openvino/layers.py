"""Reads the layers of a compiled graph that multiply: their names in the payload, their precision and their MACs."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..macs import (
    CountMacs,
    Shape,
    count_conv,
    count_conv_transpose,
    count_matmul,
    count_nothing,
    count_recurrent,
    multiply,
)
from ..placement import Layer

# The end of primitiveType is the type of a kernel's first input; I8 is uint8. runtimePrecision is the "largest" type
# among the inputs: i8 for a float kernel with int8 weights.
_PRECISIONS = {"I8": "int8", "i8": "int8", "f16": "fp16", "f32": "float32", "f64": "float64"}
# What the frontend and the low precision transformations add to the name of a node.
_ADDED = re.compile(r"(/WithoutBiases|/DequantizationMultiply|/DequantizationSubtract|_original|/MM)+$")
_MADE_UP = re.compile(r"[A-Z]\w*_\d+")  # OpenVINO's name of a node without one: ConvolutionBackpropData_406011
# Operators of the frontend's graph that become layers below: of the names of a fused layer, theirs is the one to tell.
SOURCES = frozenset(
    """
    Convolution GroupConvolution ConvolutionBackpropData GroupConvolutionBackpropData MatMul LSTMSequence GRUSequence
    RNNSequence DeformableConvolution ScaledDotProductAttention
    """.split()  # noqa: SIM905
)

_SCALES = frozenset({"Divide", "Multiply"})


def strip_name(name: str) -> str:
    """Return the name of a node without what OpenVINO added to it."""
    return _ADDED.sub("", name)


def _drop_groups(shapes: Sequence[Shape]) -> Sequence[Shape]:
    # The weight of a convolution in groups is (groups, M / groups, C / groups, *kernel).
    extra = len(shapes[1]) - len(shapes[0])
    return [shapes[0], shapes[1][extra:], *shapes[2:]]


def _count_conv(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    return count_conv(_drop_groups(shapes), output, weight)


def _count_conv_transpose(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    return count_conv_transpose(_drop_groups(shapes), output, weight)


def _count_recurrent(shapes: Sequence[Shape], output: Shape, weight: int) -> Optional[int]:
    # Between the sequence and its weights stand states and lengths, which differ from operator to operator.
    weights = [shape for shape in shapes[1:] if len(shape) == 3 and shape[1] > 1][-2:]
    return count_recurrent([shapes[0], *weights], output, weight) if len(shapes[0]) == 3 else None


_RULES: Dict[str, CountMacs] = {
    "Convolution": _count_conv,
    "Deconvolution": _count_conv_transpose,
    "FullyConnected": count_matmul,
    "MatMul": count_matmul,
    "LSTMSequence": _count_recurrent,
    "GRUSequence": _count_recurrent,
    "RNNSeq": _count_recurrent,
    "RNNSequence": _count_recurrent,
    # These multiply too, but shapes do not tell how much.
    **dict.fromkeys(
        """
        AUGRUCell AUGRUSequence BinaryConvolution DeformableConvolution GatherMatmul GRUCell LLMMLP LSTMCell MHA
        PagedAttention QKVProjection RNNCell ScaledDotProductAttention ScaledDotProductAttentionWithKVCache
        """.split(),  # noqa: SIM905
        count_nothing,
    ),
}


def read_sources(model: Any) -> Dict[str, str]:
    """Return the nodes of the frontend's graph that a layer may be named after, each with the one of them that multiplies.

    That is its own name, or for a scale of a product that is folded into it: OpenVINO calls such a layer after the scale.
    """
    sources: Dict[str, str] = {}
    for node in model.get_ordered_ops():
        name, kind = strip_name(node.get_friendly_name()), node.get_type_name()
        if kind in SOURCES:
            sources[name] = name
        elif kind in _SCALES:
            reads = [node.input_value(index).get_node() for index in range(node.get_input_size())]
            scaled = [strip_name(one.get_friendly_name()) for one in reads if one.get_type_name() == "MatMul"]
            if len(scaled) == 1 and len(reads) == 2:
                sources.setdefault(name, scaled[0])
    return sources


def read_info(node: Any, key: str) -> str:
    """Return what a node of a runtime model tells under this key; nothing where it does not."""
    info = node.get_rt_info()
    return str(info[key].value) if key in info else ""


def read_names(node: Any) -> Sequence[str]:
    """Return the names of the payload's nodes that a node of a runtime model does the work of, or its own."""
    originals = read_info(node, "originalLayersNames")
    return [strip_name(part) for part in originals.split(",") if part] or [strip_name(node.get_friendly_name())]


def list_own_layers(node: Any, sources: Mapping[str, str]) -> Sequence[str]:
    """Return the names in the payload of the layers that a node of a runtime model computes: none, one, or those in a Subgraph.

    sources: those of read_sources.
    """
    kind, names = read_info(node, "layerType"), read_names(node)
    if kind in _RULES:
        return [_choose_name(names, sources)]
    return list(dict.fromkeys(name for name in names if sources.get(name) == name)) if kind == "Subgraph" else []


def read_layers(nodes: Sequence[Any], sources: Mapping[str, str]) -> List[Layer]:
    """Return the layers that multiply, from the nodes of a runtime model."""
    layers: List[Layer] = []
    for node in nodes:
        kind = read_info(node, "layerType")
        for name in list_own_layers(node, sources):
            # What multiplies inside of a layer of other work is told, and not counted: no share is proven then.
            unknown = Layer(name=name, op=kind, precision="unknown", macs=None)
            layers.append(unknown if kind not in _RULES else _read_layer(node, name, kind))
    return layers


def _read_layer(node: Any, name: str, kind: str) -> Layer:
    ports = [node.input_value(index) for index in range(node.get_input_size())]
    shapes, output = [_read_shape(port) for port in ports], _read_shape(node.output(0))
    is_known = output is not None and None not in shapes
    suffix = read_info(node, "primitiveType").rsplit("_", 1)[-1]
    return Layer(
        name=name,
        op=kind,
        precision=_PRECISIONS.get(suffix, suffix) or "unknown",
        macs=_RULES[kind](shapes, output, 1) if is_known else None,  # type: ignore[arg-type]
        moved_bytes=sum(map(_count_bytes, [*ports, node.output(0)])) if is_known else None,
    )


def _count_bytes(port: Any) -> int:
    # An input that is not there has an empty shape, and no type.
    elements = multiply(_read_shape(port) or [0])
    return (elements * port.get_element_type().bitwidth + 7) // 8 if elements else 0


def _read_shape(port: Any) -> Optional[Shape]:
    shape = port.get_partial_shape()
    return [size.get_length() for size in shape] if shape.is_static else None


def _choose_name(names: Sequence[str], sources: Mapping[str, str]) -> str:
    """Return the name of a layer's node in the payload, or that of the tensor that leaves it."""
    named = [name for name in names if not _MADE_UP.fullmatch(name)] or names
    own = [name for name in named if sources.get(name) == name]
    return next(iter([*own, *(sources[name] for name in named if name in sources)]), named[0])
