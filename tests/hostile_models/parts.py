"""The parts that bad files are put together from: a small convolution, and ways to write what helpers refuse to."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The input of every model: calib.npz has as many samples of it.
SAMPLE = (3, 8, 8)
SAMPLES = 4
OPSET = 21

node = helper.make_node
graph = helper.make_graph


def value(name: str, kind: int = TensorProto.FLOAT, shape: Sequence[Any] | None = ("a", "b", "c", "d")) -> Any:
    """Return what a graph says of an input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


INPUT = value("input", shape=["n", *SAMPLE])
OUTPUT = value("out")
SCALAR = value("out", shape=[])


def const(name: str, values: Any, kind: Any = np.int64) -> TensorProto:
    """Return an initializer."""
    return numpy_helper.from_array(np.array(values, kind), name)


WEIGHTS = const("w", np.random.default_rng(1).standard_normal((4, 3, 3, 3)), np.float32)


def conv(read: str = "input", made: str = "out", **attributes: Any) -> onnx.NodeProto:
    """Return a 3x3 convolution by `w`."""
    return node("Conv", [read, "w"], [made], **{"pads": [1] * 4, **attributes})


def model(
    nodes: Iterable[onnx.NodeProto],
    initializers: Iterable[TensorProto] = (WEIGHTS,),
    *,
    inputs: Sequence[Any] = (INPUT,),
    outputs: Sequence[Any] = (OUTPUT,),
    opset: int = OPSET,
    domains: Iterable[tuple[str, int]] = (),
    functions: Iterable[onnx.FunctionProto] = (),
    ir_version: int = 10,
) -> onnx.ModelProto:
    """Return a model; nothing about it is checked."""
    return helper.make_model(
        graph(list(nodes), "g", list(inputs), list(outputs), list(initializers)),
        opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains)],
        functions=list(functions),
        ir_version=ir_version,
    )


def good(_path: object = None) -> onnx.ModelProto:
    """Return the model that every family is a variation of."""
    return model([conv()])


def sum_into(name: str) -> list[onnx.NodeProto]:
    """Return nodes that make the output depend on a tensor of any shape, so that nothing can leave it out."""
    return [node("ReduceSum", [name], ["sum_"], keepdims=0), node("Add", ["input", "sum_"], ["out"])]


def one_of_data() -> list[onnx.NodeProto]:
    """Return nodes that make `one`, an int64 of shape (1,) that is 1 for all data, and that no inference knows."""
    return [
        node("ReduceMax", ["input"], ["most"], keepdims=0),
        node("Sub", ["most", "most"], ["nothing"]),
        node("Exp", ["nothing"], ["one_float"]),
        node("Cast", ["one_float"], ["one_scalar"], to=TensorProto.INT64),
        node("Reshape", ["one_scalar", "shape_1"], ["one"]),
    ]


SHAPE_1 = const("shape_1", [1])


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def field(number: int, data: bytes) -> bytes:
    """Return a field of bytes, such as a message in a message, as protobuf writes it."""
    return varint(number << 3 | 2) + varint(len(data)) + data
