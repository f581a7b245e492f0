"""Folds the addition or multiplication of one number into the convolution before it.

    Conv(x, W, b) · s + t   becomes   Conv(x, s·W, s·b + t)

W (C_out, C_in/groups, …), b (C_out,), s and t single numbers, in any order and count. The learned scales and shifts of
re-parametrized networks (RepVGG, PP-LCNetV3) are of this form. onnxsim and ONNX Runtime fold per-channel constants
(1, C, 1, 1) only: the recognition model of PP-OCR, which has 28 such numbers, goes from 15.7 to 13.9 ms.

It does not act where other nodes read W too, which would then be stored once for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.view import GraphView
from toolchain.optimize.applied import Applied
from toolchain.optimize.replace_nodes import replace_nodes


@dataclass(frozen=True)
class _Fold:
    """What becomes of one Conv: it writes the output of the last node that it swallows."""

    weight: NDArray[np.generic]
    bias: NDArray[np.generic]
    output: str
    swallowed: tuple[int, ...]


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with such numbers folded into its convolutions; the same where there are none."""
    view = GraphView.from_model(model)
    folds = {id(node): fold for node in model.graph.node if (fold := _find(view, node)) is not None}
    if not folds:
        has_conv = any(node.op_type == "Conv" for node in model.graph.node)
        what = "whose weight it alone reads, and after it an Add or Mul of one number" if has_conv else "in the model"
        return Applied(model=model, report=f"no Conv {what}")
    swallowed = {identity for fold in folds.values() for identity in fold.swallowed}
    names = OnnxNames.from_model(model)
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    for node in model.graph.node:
        if id(node) in swallowed:
            continue
        if fold := folds.get(id(node)):
            folded = onnx.NodeProto()
            folded.CopyFrom(node)
            folded.output[0] = fold.output
            folded.input[1:] = [names.derive(fold.output, part) for part in ("weight", "bias")]
            tensors += map(numpy_helper.from_array, (fold.weight, fold.bias), folded.input[1:])
            nodes.append(folded)
        else:
            nodes.append(node)
    report = f"folded {len(swallowed)} Add and Mul into {len(folds)} Conv"
    return Applied(model=replace_nodes(model, nodes, tensors), report=report)


def _find(view: GraphView, conv: onnx.NodeProto) -> _Fold | None:
    if conv.op_type != "Conv" or not all(name in view.initializers for name in conv.input[1:]):
        return None
    if len(view.consumers[conv.input[1]]) > 1:
        return None
    weight = view.constant(conv.input[1])
    bias = view.constant(conv.input[2]) if len(conv.input) > 2 else None
    if weight is None:
        return None
    scale, shift, output, swallowed = 1.0, 0.0, conv.output[0], []
    while (step := _find_step(view, output, weight.ndim)) is not None:
        node, number = step
        if node.op_type == "Add":
            shift += number
        else:
            scale, shift = scale * number, shift * number
        output = node.output[0]
        swallowed.append(id(node))
    if not swallowed:
        return None
    start = np.zeros(weight.shape[0]) if bias is None else bias
    return _Fold(
        weight=(np.asarray(weight, dtype=np.float64) * scale).astype(weight.dtype),
        bias=(np.asarray(start, dtype=np.float64) * scale + shift).astype(weight.dtype),
        output=output,
        swallowed=tuple(swallowed),
    )


def _find_step(view: GraphView, value: str, rank: int) -> tuple[onnx.NodeProto, float] | None:
    """Return the node that adds or multiplies a number to a value that nobody else reads, and the number."""
    node = view.only_consumer(value)
    if node is None or node.op_type not in ("Add", "Mul") or list(node.input).count(value) != 1:
        return None
    other = node.input[1] if node.input[0] == value else node.input[0]
    number = view.constant(other)
    # More axes than the value has would add axes to it.
    if number is None or number.size != 1 or number.ndim > rank or not np.isfinite(number.item()):
        return None
    return node, float(number.item())
