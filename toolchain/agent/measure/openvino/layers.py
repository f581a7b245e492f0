"""Reads the layers of a compiled graph that multiply: their names in the payload, their precision and their MACs."""

from __future__ import annotations

import re
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple

from ..macs import CountMacs, Shape, count_conv, count_conv_transpose, count_matmul, count_nothing, count_recurrent
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


def read_layers(nodes: Sequence[Any], sources: Collection[str]) -> List[Tuple[Layer, Optional[float]]]:
    """Return the layers that multiply, from the nodes of a runtime model, each with its mean time in microseconds.

    sources: the names of the nodes in the frontend's graph that multiply.
    """
    layers: List[Tuple[Layer, Optional[float]]] = []
    for node in nodes:
        info = {key: value.value for key, value in node.get_rt_info().items()}
        kind, originals = info.get("layerType", ""), info.get("originalLayersNames", "")
        names = [strip_name(part) for part in originals.split(",") if part] or [strip_name(node.get_friendly_name())]
        if kind not in _RULES:
            # What multiplies inside of a layer of other work is told, and not counted: no share is proven then.
            hidden = dict.fromkeys(name for name in names if name in sources) if kind == "Subgraph" else ()
            layers += [(Layer(name=name, op=kind, precision="unknown", macs=None), None) for name in hidden]
            continue
        shapes = [_read_shape(node.input_value(index)) for index in range(node.get_input_size())]
        output = _read_shape(node.output(0))
        is_known = output is not None and None not in shapes
        suffix = info["primitiveType"].rsplit("_", 1)[-1]
        layer = Layer(
            name=_choose_name(names, sources),
            op=kind,
            precision=_PRECISIONS.get(suffix, suffix),
            macs=_RULES[kind](shapes, output, 1) if is_known else None,  # type: ignore[arg-type]
        )
        time_us = info.get("execTimeMcs", "")
        layers.append((layer, float(time_us) if re.fullmatch(r"\d+", str(time_us)) else None))
    return layers


def _read_shape(port: Any) -> Optional[Shape]:
    shape = port.get_partial_shape()
    return [size.get_length() for size in shape] if shape.is_static else None


def _choose_name(names: Sequence[str], sources: Collection[str]) -> str:
    """Return the name of a layer's node in the payload, or that of the tensor that leaves it."""
    named = [name for name in names if not _MADE_UP.fullmatch(name)] or names
    return next((name for name in named if name in sources), named[0])
