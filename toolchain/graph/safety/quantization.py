"""Scales and zero points that a model brings as constants.

q = saturate(round(x / scale) + zero_point): a scale of zero makes infinities of everything, a negative one turns ranges
around, and a zero point of another type than q is read as another number. The specification says that scales are
positive, and neither the ONNX checker nor ONNX Runtime look.
"""

from __future__ import annotations

import numpy as np
import onnx

from toolchain.errors import ToolchainError, malformed
from toolchain.graph.safety.scopes import Constants, iter_scoped_nodes
from toolchain.graph.view import attribute_int

# Where each operator has its pairs: the input that is the scale, and the one that is its zero point (0: it has none).
# onnx/defs/quantization, and ONNX Runtime's docs/ContribOperators.md.
_PAIRS: dict[str, tuple[tuple[int, int], ...]] = {
    "QuantizeLinear": ((1, 2),),
    "DequantizeLinear": ((1, 2),),
    "QLinearConv": ((1, 2), (4, 5), (6, 7)),
    "QLinearMatMul": ((1, 2), (4, 5), (6, 7)),
    "QLinearAdd": ((1, 2), (4, 5), (6, 7)),
    "QLinearMul": ((1, 2), (4, 5), (6, 7)),
    "QGemm": ((1, 2), (4, 5), (7, 8)),
    "QLinearSigmoid": ((1, 2), (3, 4)),
    "QLinearLeakyRelu": ((1, 2), (3, 4)),
    "QLinearSoftmax": ((1, 2), (3, 4)),
    "QLinearAveragePool": ((1, 2), (3, 4)),
    "QLinearGlobalAveragePool": ((1, 2), (3, 4)),
    "QLinearReduceMean": ((1, 2), (3, 4)),
    "MatMulIntegerToFloat": ((2, 4), (3, 5)),
    "DynamicQuantizeMatMul": ((2, 3),),
    "DynamicQuantizeLSTM": ((8, 9), (10, 11)),
}
# Inputs that are factors of lengths; a length of zero or less is nobody's (onnx/defs/tensor, Resize and Upsample).
_FACTORS = {"Resize": (2, 3), "Upsample": (1,)}
_DOMAINS = {"", "ai.onnx", "com.microsoft"}


def check_scales(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) constant scales that are not positive and finite, and zero points that do not fit."""
    for node, constants in iter_scoped_nodes(model):
        if node.domain not in _DOMAINS:
            continue
        place = f"{where}: node {node.name!r} ({node.op_type})"
        for scale, zero_point in _PAIRS.get(node.op_type, ()):
            _check_positive(_take(node, scale), constants, place, "scale")
            if zero_point:
                _check_pair(_take(node, scale), _take(node, zero_point), constants, place)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _check_types(node, constants, place)
        for factor in _FACTORS.get(node.op_type, ()):
            _check_positive(_take(node, factor), constants, place, "factor of a length")


def _take(node: onnx.NodeProto, index: int) -> str:
    return node.input[index] if index < len(node.input) else ""


def _check_positive(name: str, constants: Constants, place: str, what: str) -> None:
    values = constants.read(name)
    if values is None:
        return
    wrong = values[~(np.isfinite(values) & (values > 0))]
    if wrong.size:
        raise _refuse(f"a {what} is not positive", f"{place}: {name!r}", "finite numbers above 0", str(wrong.flat[0]))


def _check_pair(scale: str, zero_point: str, constants: Constants, place: str) -> None:
    one, other = constants.find(scale), constants.find(zero_point)
    if one is None or other is None:
        return
    counts = [int(np.prod(tensor.dims, dtype=object)) for tensor in (one, other)]
    if counts[0] != counts[1]:
        raise _refuse(
            "scale and zero point differ in shape",
            f"{place}: {zero_point!r}",
            f"{counts[0]} numbers, as the scale has",
            str(counts[1]),
        )


def _check_types(node: onnx.NodeProto, constants: Constants, place: str) -> None:
    """Hold a zero point to the type of what is quantized, as far as the model says which that is."""
    zero_point = constants.find(_take(node, 2))
    if zero_point is None:
        return
    if node.op_type == "QuantizeLinear":
        expected = attribute_int(node, "output_dtype", 0)
    else:
        quantized = constants.find(_take(node, 0))
        expected = 0 if quantized is None else quantized.data_type
    if expected and expected != zero_point.data_type:
        names = [str(onnx.TensorProto.DataType.Name(kind)).lower() for kind in (expected, zero_point.data_type)]
        raise _refuse("a zero point has another type than what it is of", f"{place}: {node.input[2]!r}", *names)


def _refuse(what: str, place: str, expected: str, found: str) -> ToolchainError:
    fix = "quantize the model again, or export it in float and let the toolchain quantize it"
    return malformed(what, where=place, expected=expected, found=found, fix=fix)
