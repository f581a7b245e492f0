"""A sensor's bytes that are the quantized input already: nothing is calculated between them and the first integer kernel.

    uint8 -> Cast -> Transpose -> Mul -> Add -> QuantizeLinear -> DequantizeLinear -> Conv
    uint8 -> Transpose -> DequantizeLinear -> Conv

Both are the same to the bit where the upper row's QuantizeLinear gives each of the 256 bytes itself, which is tried with all of
them. With the range of what 0 to 255 become, and no other, that is so: the scale is then one byte's step, and the zero point
the byte nearest to the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.input_chain import InputChain, find_input_chain
from toolchain.graph.view import GraphView, rename_reads
from toolchain.lower.ranges import TensorRange

_BYTES = np.arange(256, dtype=np.float32)
# Of a step: kernels divide by the scale or multiply with its inverse, which differ by 2^-23 of 255 steps.
_ROUNDING = 1e-3


def find_byte_ranges(model: onnx.ModelProto, tensors: Sequence[str]) -> dict[str, TensorRange]:
    """Return the ranges of those tensors that are made of bytes by constants alone: they need no calibration."""
    view = GraphView.from_model(model)
    ranges = {}
    for name in tensors:
        chain = find_input_chain(view, name)
        if chain is not None and chain.element == onnx.TensorProto.UINT8:
            values = np.concatenate(chain.calculate(_BYTES))
            ranges[name] = TensorRange(float(values.min()), float(values.max()))
    return ranges


def feed_bytes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with pairs whose bytes go to the integer kernels as they are; the model itself where none can."""
    view = GraphView.from_model(model)
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or len(node.input) != 3 or view.only_consumer(node.input[0]) is None:
            continue
        chain = find_input_chain(view, node.input[0])
        if chain is not None and chain.element == onnx.TensorProto.UINT8 and _gives_itself(view, node, chain):
            return _leave_out(model, chain, node)
    return model


def _gives_itself(view: GraphView, quantize: onnx.NodeProto, chain: InputChain) -> bool:
    scale, zero_point = (view.constant(name) for name in quantize.input[1:])
    if scale is None or zero_point is None or scale.size != 1 or zero_point.dtype != np.uint8:
        return False
    return all(_is_same(values, np.float32(scale.item()), int(zero_point.item())) for values in chain.calculate(_BYTES))


def _is_same(values: NDArray[np.float32], scale: np.float32, zero_point: int) -> bool:
    steps = values.astype(np.float64) / float(scale)
    rounded = np.rint(steps)
    is_safe = np.abs(steps - rounded) < 0.5 - _ROUNDING
    return bool((is_safe & (np.clip(rounded + zero_point, 0, 255) == _BYTES)).all())


def _leave_out(model: onnx.ModelProto, chain: InputChain, quantize: onnx.NodeProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    gone = {chain.cast.output[0], *(node.output[0] for node, _ in chain.calculations), quantize.output[0]}
    nodes = [node for node in result.graph.node if node.output[0] not in gone]
    first = {chain.cast.output[0]: chain.source}
    last = chain.moves[-1].output[0] if chain.moves else chain.source
    for node in nodes:
        rename_reads(node, {**first, quantize.output[0]: last})
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input} | {value.name for value in result.graph.output}
    kept = [tensor for tensor in result.graph.initializer if tensor.name in read]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    del result.graph.value_info[:]
    return result
