"""The products of OpenVINO's roofs: of an activation and a constant weight, as layers are, and in int8 from 8 bits to 8 bits."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from toolchain.agent.measure.peaks import SIDE

_SHAPE = [SIDE, SIDE]


def _write(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], kind: int) -> onnx.ModelProto:
    constants = [helper.make_tensor("shape", TensorProto.INT64, [2], _SHAPE), *constants]
    ends = [helper.make_tensor_value_info(name, kind, _SHAPE) for name in ("a", "c")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name="")


def make_float_product() -> onnx.ModelProto:
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.5])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["w"], value=value),
        helper.make_node("MatMul", ["a", "w"], ["c"]),
    ]
    return _write(nodes, [], TensorProto.FLOAT)


def make_int8_product() -> onnx.ModelProto:
    value = helper.make_tensor("v", TensorProto.INT8, [1], [3])
    constants = [
        helper.make_tensor("s", TensorProto.FLOAT, [], [0.0625]),
        helper.make_tensor("o", TensorProto.FLOAT, [], [2.0]),
        helper.make_tensor("z", TensorProto.UINT8, [], [128]),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["x"]),
        helper.make_node("ConstantOfShape", ["shape"], ["q"], value=value),
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "o", "z"], ["c"]),
    ]
    return _write(nodes, constants, TensorProto.UINT8)
