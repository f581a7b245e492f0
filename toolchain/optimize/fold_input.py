"""Folds what a sensor's numbers need into the first convolution, as far as that is exact.

    Conv(Gather(x, p) · a + b, W, c)   becomes   Conv(x + d, W', c')

x (N, C, H, W), p an order of its channels, a and b one number or one for each channel:

- the order goes into W: W'[:, p[i]] = W[:, i] · a[i], and so does a, which leaves zeros at the border zero;
- b goes into the bias, c' = c + sum over W[:, i] · b[i], where the convolution has no border, and d = 0. At a border it
  does not: there the convolution adds zeros, and not the b of a pixel that is not there. So d[p[i]] = b[i] / a[i] stays.

It does not act on a model that was trained for int8, whose learned range is of the tensor that would change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.input_chain import InputChain, find_input_chain
from toolchain.graph.learned_ranges import read_ranges
from toolchain.graph.names import OnnxNames
from toolchain.graph.view import GraphView, attribute_int
from toolchain.optimize.applied import Applied
from toolchain.optimize.replace_nodes import replace_nodes


@dataclass(frozen=True)
class _Fold:
    chain: InputChain
    order: NDArray[np.int64]
    """Channel i of the convolution's input is channel order[i] of what the sensor gives."""
    factor: NDArray[np.float64]
    shift: NDArray[np.float64]
    """Both `(C,)`, of the channels as the convolution has them."""
    weight: NDArray[np.generic]
    bias: NDArray[np.generic] | None
    has_border: bool


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with its input's processing folded into the convolution behind it; the same where there is none."""
    view = GraphView.from_model(model)
    conv, reason = _find_conv(view)
    if conv is None:
        return Applied(model=model, report=reason)
    if read_ranges(model) is not None:
        return Applied(model=model, report="the model was trained for int8 with its input as it is")
    fold = _read(view, conv)
    if fold is None:
        return Applied(model=model, report=f"{conv.name}: its weight is read by others, or its groups are channels")
    names = OnnxNames.from_model(model)
    kept = [fold.chain.cast, *(node for node in fold.chain.moves if node.op_type == "Transpose")]
    nodes, tensors, read = _rewire(kept, fold, names, conv)
    folded = onnx.NodeProto()
    folded.CopyFrom(conv)
    folded.input[0] = read
    parts = [_fold_weight(fold), _fold_bias(fold)]
    for index, (part, value) in enumerate(zip(("weight", "bias"), parts, strict=True), start=1):
        if value is None:
            continue
        name = names.derive(conv.name, "input", part)
        tensors.append(numpy_helper.from_array(value, name))
        if len(folded.input) > index:
            folded.input[index] = name
        else:
            folded.input.append(name)
    gone = {id(node) for node in fold.chain.nodes} | {id(conv)}
    rest = []
    for node in model.graph.node:
        if id(node) == id(conv):
            rest.append(folded)
        elif id(node) not in gone:
            rest.append(node)
    left = [node.op_type for node in nodes]
    report = f"folded into {conv.name}; {', '.join(left)} stay in front of it"
    return Applied(model=replace_nodes(model, [*nodes, *rest], tensors), report=report)


def _find_conv(view: GraphView) -> tuple[onnx.NodeProto | None, str]:
    """Return the convolution that alone reads what a sensor's input becomes; else why there is none."""
    for node in view.model.graph.node:
        if node.op_type != "Conv" or view.only_consumer(node.input[0]) is None:
            continue
        chain = find_input_chain(view, node.input[0])
        if chain is None:
            continue
        operators = {step.op_type for step in chain.nodes}
        if not operators & {"Gather", "Mul"} and ("Add" not in operators or _has_border(node)):
            return None, f"nothing stands between the input and {node.name} that its weights could do"
        return node, ""
    return None, "no Conv that alone reads what becomes of an input of whole numbers"


def _read(view: GraphView, conv: onnx.NodeProto) -> _Fold | None:
    """Return what is to be folded; None where the weight is not this convolution's alone, or the steps are no channels'."""
    chain = find_input_chain(view, conv.input[0])
    weight = view.constant(conv.input[1])
    bias = view.constant(conv.input[2]) if len(conv.input) > 2 else None
    is_free = weight is not None and len(view.consumers[conv.input[1]]) == 1 and attribute_int(conv, "group", 1) == 1
    if chain is None or weight is None or not is_free or (len(conv.input) > 2 and bias is None):
        return None
    order = _read_order(view, chain, weight.shape[1])
    line = _read_line(chain, weight)
    if order is None or line is None:
        return None
    return _Fold(chain, order, *line, weight, bias, _has_border(conv))


def _read_order(view: GraphView, chain: InputChain, channels: int) -> NDArray[np.int64] | None:
    """Return which channel of the sensor's each one of the convolution's is; None where they do not only change places."""
    order = np.arange(channels)
    is_transposed = False
    for move in reversed(chain.moves):  # from the convolution to the sensor
        if move.op_type == "Transpose":
            is_transposed = True
            continue
        indices = view.constant(move.input[1])
        if is_transposed or indices is None or attribute_int(move, "axis", 0) != 1:
            return None
        if sorted(indices.reshape(-1).tolist()) != list(range(channels)):
            return None
        order = indices.reshape(-1).astype(np.int64)[order]
    return order


def _read_line(
    chain: InputChain, weight: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return factor and shift of each channel `(C,)`; None where a constant is of another axis, or makes all values one."""
    channels, axis = weight.shape[1], weight.ndim - 1
    factor, shift = np.ones(channels), np.zeros(channels)
    for node, constant in chain.calculations:
        if constant.size > 1 and (constant.ndim < axis or constant.shape[-axis] != channels):
            return None
        numbers = np.broadcast_to(constant.reshape(-1).astype(np.float64), (channels,))
        if node.op_type == "Mul":
            factor, shift = factor * numbers, shift * numbers
        else:
            shift = shift + numbers
    return (factor, shift) if factor.all() else None


def _has_border(conv: onnx.NodeProto) -> bool:
    """Return whether a convolution adds zeros around its input."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in conv.attribute}
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        return True
    return attributes.get("auto_pad", b"NOTSET") == b"NOTSET" and any(attributes.get("pads", ()))


def _along(values: NDArray[np.float64], weight: NDArray[np.generic]) -> NDArray[np.float64]:
    return values.reshape(1, -1, *[1] * (weight.ndim - 2))


def _fold_weight(fold: _Fold) -> NDArray[np.generic]:
    scaled = fold.weight.astype(np.float64) * _along(fold.factor, fold.weight)
    folded = np.empty_like(scaled)
    folded[:, fold.order] = scaled
    return np.ascontiguousarray(folded.astype(fold.weight.dtype))


def _fold_bias(fold: _Fold) -> NDArray[np.generic] | None:
    if fold.has_border or not fold.shift.any():
        return None
    weight = fold.weight.astype(np.float64)
    added = (weight * _along(fold.shift, fold.weight)).reshape(len(weight), -1).sum(axis=1)
    start = np.zeros(len(weight)) if fold.bias is None else fold.bias.astype(np.float64)
    return np.asarray((start + added).astype(fold.weight.dtype))


def _rewire(
    kept: list[onnx.NodeProto], fold: _Fold, names: OnnxNames, conv: onnx.NodeProto
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]:
    """Return the nodes that stay before the convolution, their constants, and the tensor that it reads."""
    nodes, tensors, read = [], [], fold.chain.source
    for node in kept:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[0] = read
        read = copy.output[0]
        nodes.append(copy)
    if fold.has_border and fold.shift.any():
        shifts = np.empty_like(fold.shift)
        shifts[fold.order] = fold.shift / fold.factor
        constant = (
            shifts[:1].reshape(()) if (shifts == shifts[0]).all() else shifts.reshape(-1, *[1] * (fold.weight.ndim - 2))
        )
        name = names.derive(conv.name, "input", "shift")
        tensors.append(numpy_helper.from_array(np.asarray(constant.astype(fold.weight.dtype)), name))
        added = names.derive(conv.name, "input", "shifted")
        nodes.append(helper.make_node("Add", [read, name], [added], names.derive(conv.name, "input", "add")))
        read = added
    return nodes, tensors, read
