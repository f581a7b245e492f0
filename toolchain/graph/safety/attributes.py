"""Attributes with numbers that no operator has a meaning for, and on which kernels divide, loop or allocate."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from toolchain.errors import ToolchainError, malformed
from toolchain.graph.view import ONNX_DOMAINS, attribute_int
from toolchain.graph.walk import iter_nodes

# Lengths, steps and counts: from 1, and in the 32 bits that kernels calculate in.
_INT32_MAX = 2**31 - 1
_POSITIVE = {
    *("kernel_shape", "strides", "dilations", "group", "blocksize", "num_groups", "hidden_size", "num_outputs"),
    *("size", "spatial_scale_count", "output_height", "output_width", "block_size"),
}
# Padding: from 0 where windows slide. (Pad's own may be negative: it then cuts.)
_FROM_ZERO = {"output_padding"}
_SLIDING = {"Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "MaxPool", "AveragePool", "LpPool", "MaxUnpool"}
# `size` of LRN and `block_size` of Q/DQ pairs, which may be 0 there: none.
_MAY_BE_ZERO = {("QuantizeLinear", "block_size"), ("DequantizeLinear", "block_size")}
_SHOWN = 200


def check_attributes(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) strides, kernels, groups and the like that are zero, negative or beyond 32 bits."""
    for node in iter_nodes(model):
        if node.domain not in ONNX_DOMAINS:
            continue
        names = [attribute.name for attribute in node.attribute]
        if len(set(names)) != len(names):
            raise _refuse(node, where, "each attribute once", ", ".join(sorted(names)))
        for attribute in node.attribute:
            _check_attribute(node, attribute, where)


def _check_attribute(node: onnx.NodeProto, attribute: onnx.AttributeProto, where: str) -> None:
    if attribute.type not in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS):
        return
    name = attribute.name
    values = [attribute.i] if attribute.type == onnx.AttributeProto.INT else attribute.ints
    least: int | None = None
    if name in _POSITIVE:
        least = 0 if (node.op_type, name) in _MAY_BE_ZERO else 1
    elif name in _FROM_ZERO or (name == "pads" and node.op_type in _SLIDING):
        least = 0
    if least is not None and (wrong := _find_outside(values, least)) is not None:
        raise _refuse(node, where, f"{name} from {least} to {_INT32_MAX}", str(wrong))
    if node.op_type == "Split" and name == "num_outputs" and attribute_int(node, name, 0) != len(node.output):
        raise _refuse(node, where, f"num_outputs = {len(node.output)}, as it has outputs", str(attribute.i))


def _find_outside(values: Sequence[int], least: int) -> int | None:
    return next((value for value in values if not least <= value <= _INT32_MAX), None)


def _refuse(node: onnx.NodeProto, where: str, expected: str, found: str) -> ToolchainError:
    return malformed(
        "an operator has an attribute that means nothing",
        where=f"{where}: node {node.name!r} ({node.op_type})",
        expected=expected,
        found=found[:_SHOWN],
        fix="correct that layer in what made the model, and export it again",
    )
