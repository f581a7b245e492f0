"""Integer products on this machine as other CPUs compute them: exactly, where x86 without VNNI saturates at 16 bits."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights


def emulate_integer_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the sums of each MatMulInteger of ours in float32, as good as exact; itself without one.

    Of a model of others, whose zero points may be anything, nothing is changed.
    """
    if not any(_is_ours(node) for node in model.graph.node):
        return model
    names, result = OnnxNames.from_model(model), copy_without_weights(model)
    nodes = [new for node in model.graph.node for new in (_widen(node, names) if _is_ours(node) else [node])]
    result.graph.initializer.extend(model.graph.initializer)
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    result.graph.ClearField("value_info")
    return result


def _is_ours(node: onnx.NodeProto) -> bool:
    return node.op_type == "MatMulInteger" and len(node.input) == 3


def _widen(node: onnx.NodeProto, names: OnnxNames) -> Iterator[onnx.NodeProto]:
    activation, weight, zero_point = node.input
    wide = {name: names.derive(node.name, "wide", name) for name in node.input}
    for name in (activation, weight, zero_point):
        yield helper.make_node("Cast", [name], [wide[name]], wide[name], to=TensorProto.FLOAT)
    centred = names.derive(node.name, "centred")
    yield helper.make_node("Sub", [wide[activation], wide[zero_point]], [centred], centred)
    # Products of 255 by 127 in float32: exact to 2^24, and then to a part in 10^7.
    yield helper.make_node("MatMul", [centred, wide[weight]], list(node.output), node.name)
