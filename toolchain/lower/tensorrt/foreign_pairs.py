"""Takes the Q/DQ pairs out of a model that came quantized, so that it is quantized anew by TensorRT's rules.

Others write what NVIDIA's parser refuses: zero points that are not 0, uint8, biases as int32. So constants are dequantized,
and what the pairs say of activations becomes their ranges (toolchain/graph/learned_ranges.py), which are never calibrated again:

    int8 with zero point 0, uint8 with zero point 128    the same numbers again: exact
    any other zero point                                 rounded anew in the least symmetric range that holds it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.errors import ToolchainError
from toolchain.graph.learned_ranges import state_ranges
from toolchain.graph.names import OnnxNames
from toolchain.graph.view import GraphView, attribute_int
from toolchain.graph.walk import iter_nodes
from toolchain.lower.tensorrt.operators import refuse_node

_PAIRED = frozenset({"QuantizeLinear", "DequantizeLinear"})
_TYPES = frozenset({"int8", "uint8"})


@dataclass(frozen=True)
class TakenPairs:
    """The float model with the ranges in its metadata, and the tensors that cannot keep their integers."""

    model: onnx.ModelProto
    exact: tuple[str, ...]
    requantized: tuple[str, ...]


def take_foreign_pairs(model: onnx.ModelProto) -> TakenPairs:
    """Return the model without Q/DQ; the same where it has none.

    Raises ToolchainError (exit 12) that names the node: integers that are more than a pair, such as a pooling of them,
    a scale that is computed or per channel of an activation, blocks, and 4- and 16-bit activations.
    """
    paired = [node for node in iter_nodes(model) if node.op_type in _PAIRED]
    if not paired:
        return TakenPairs(model, (), ())
    view = GraphView.from_model(model)
    main = {id(node) for node in model.graph.node}
    for node in paired:
        _check_pair(view, node, is_main=id(node) in main)
    taken = _Taken(view)
    nodes = [taken.replace(node) for node in model.graph.node]
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in taken.constants.items())
    requantized = tuple(name for name in taken.ranges if name not in taken.renamed.values())
    names = state_ranges(result, taken.renamed, taken.ranges)
    return TakenPairs(
        result, tuple(dict.fromkeys(names.get(name, name) for name in taken.renamed.values())), requantized
    )


class _Taken:
    """What the pairs of a model become."""

    def __init__(self, view: GraphView) -> None:
        self._view = view
        self._names = OnnxNames.from_model(view.model)
        self.constants: dict[str, NDArray[Any]] = {}
        self.ranges: dict[str, tuple[float, float]] = {}
        self.renamed: dict[str, str] = {}

    def replace(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return the node, or for the second of a pair that is rounded anew what clips as the pair did.

        A pair clips, and writers leave out the Relu that it makes needless.
        """
        if node.op_type != "DequantizeLinear":
            return node
        view, quantize, output = self._view, self._view.producers.get(node.input[0]), node.output[0]
        stored = view.constant(node.input[0])
        if stored is not None:
            self.constants[output] = _dequantize(view, node, stored)
            return node
        if quantize is None:
            raise _refuse(node, "a QuantizeLinear before it", "integers from the caller")
        source = quantize.input[0]
        if (value := view.constant(source)) is not None:
            self.constants[output] = _dequantize(view, node, _quantize(view, quantize, value))
            return node
        (low, high), is_exact = _read_range(view, quantize)
        if is_exact:
            self.ranges[source], self.renamed[output] = (low, high), source
            return node
        self.ranges[output] = low, high
        if low == 0:
            return helper.make_node("Relu", [source], [output], node.name)
        bounds = [self._names.derive(output, part) for part in ("low", "high")]
        self.constants |= {name: np.array(bound, np.float32) for name, bound in zip(bounds, (low, high), strict=True)}
        return helper.make_node("Clip", [source, *bounds], [output], node.name)


def _check_pair(view: GraphView, node: onnx.NodeProto, *, is_main: bool) -> None:
    """Refuse (exit 12) a node that is not one of a pair, or of a constant, in the main graph."""
    if not is_main:
        raise _refuse(node, "Q/DQ in the main graph", "a node inside a subgraph")
    if node.op_type == "QuantizeLinear":
        readers = view.consumers.get(node.output[0], ())
        if node.output[0] in view.output_names or any(reader.op_type != "DequantizeLinear" for reader in readers):
            raise _refuse(node, "a DequantizeLinear behind it", "integers that another node or the caller reads")
        return
    producer = view.producers.get(node.input[0])
    if view.constant(node.input[0]) is None and (producer is None or producer.op_type != "QuantizeLinear"):
        raise _refuse(node, "a QuantizeLinear before it", "integers from another node or the caller")


def _refuse(node: onnx.NodeProto, expected: str, found: str) -> ToolchainError:
    return refuse_node(node, expected=expected, found=found, fix="give the float model, which is quantized here")


def _read_parameters(view: GraphView, node: onnx.NodeProto) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return scale and zero point of a node; refuse those that are computed, and blocks."""
    scale = view.constant(node.input[1])
    has_zero_point = len(node.input) > 2 and bool(node.input[2])
    zero_point = view.constant(node.input[2]) if has_zero_point else np.zeros((), np.uint8)
    if scale is None or zero_point is None or attribute_int(node, "block_size", 0):
        raise _refuse(node, "a constant scale and zero point of a tensor or its channels", "a computed one, or blocks")
    return np.asarray(scale, np.float64), np.asarray(zero_point)


def _along(values: NDArray[Any], node: onnx.NodeProto, rank: int) -> NDArray[Any]:
    """Return a parameter in a shape that broadcasts over the tensor."""
    shape = [1] * rank
    if values.size > 1:
        shape[attribute_int(node, "axis", 1)] = -1
    return values.reshape(shape) if rank else values.reshape(())


def _dequantize(view: GraphView, node: onnx.NodeProto, stored: NDArray[Any]) -> NDArray[np.float32]:
    scale, zero_point = (_along(value, node, stored.ndim) for value in _read_parameters(view, node))
    return np.asarray((stored.astype(np.float64) - zero_point.astype(np.float64)) * scale, np.float32)


def _quantize(view: GraphView, node: onnx.NodeProto, value: NDArray[Any]) -> NDArray[Any]:
    scale, zero_point = (_along(parameter, node, value.ndim) for parameter in _read_parameters(view, node))
    limits = np.iinfo(zero_point.dtype)
    rounded = np.clip(np.rint(value / scale) + zero_point, limits.min, limits.max)
    return np.asarray(rounded, zero_point.dtype)


def _read_range(view: GraphView, node: onnx.NodeProto) -> tuple[tuple[float, float], bool]:
    """Return low and high of an activation, and whether TensorRT can state the very same integers."""
    scale, zero_point = _read_parameters(view, node)
    if scale.size != 1 or str(zero_point.dtype) not in _TYPES:
        raise _refuse(node, "one scale, int8 or uint8", f"{scale.size} scales, {zero_point.dtype}")
    step, zero, limits = float(scale.item()), int(zero_point.item()), np.iinfo(zero_point.dtype)
    low, high = (limits.min - zero) * step, (limits.max - zero) * step
    return (low, high), zero - limits.min == 128  # -128 to 127 around it
