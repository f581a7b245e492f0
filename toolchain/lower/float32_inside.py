"""Float16 models in float32: the same graph computing in float32, while inputs and outputs keep their types.

    x (float16) -> Cast -> Conv, Relu, ... in float32, with float32 weights -> Cast -> y (float16)

The lowering to int8 calibrates, quantizes and compares in float32, and a CPU computes float16 in float32 anyway. What is
dropped is the rounding of every result to 11 bits; whoever widens a model compares it with what it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.shapes import infer_shapes
from toolchain.graph.view import rename_reads
from toolchain.graph.walk import iter_tensors

_HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_FLOATS = _HALVES | {TensorProto.FLOAT}

# Attributes that state the type of what a node makes (Cast; EyeLike, RandomNormal, Bernoulli, …).
_TYPE_ATTRIBUTES = frozenset({"to", "dtype"})


def holds_halves(message: Any) -> bool:
    """Return whether a 16-bit float type is anywhere in an ONNX message: a tensor, a value's type, a Cast."""
    if isinstance(message, onnx.TensorProto):
        return message.data_type in _HALVES
    if isinstance(message, onnx.AttributeProto) and message.name in _TYPE_ATTRIBUTES and message.i in _HALVES:
        return True
    if isinstance(message, onnx.TypeProto.Tensor | onnx.TypeProto.SparseTensor) and message.elem_type in _HALVES:
        return True
    return any(
        holds_halves(child)
        for field, value in message.ListFields()
        if field.message_type is not None
        for child in (value if field.is_repeated else (value,))
    )


def find_obstacle(model: onnx.ModelProto) -> str | None:
    """Return the input or output whose type keeps a model from being widened, as no Cast takes it; None without one."""
    values = [*model.graph.input, *model.graph.output]
    return next(
        (
            f"{value.name} is a {value.type.WhichOneof('value').removesuffix('_type')} of 16-bit floats"
            for value in values
            if not value.type.HasField("tensor_type") and holds_halves(value.type)
        ),
        None,
    )


def list_halves(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the 16-bit float types that the model holds or computes in, sorted."""
    graph = infer_shapes(model)
    values = [*graph.input, *graph.value_info, *graph.output]
    types = {value.type.tensor_type.elem_type for value in values}
    types |= {tensor.data_type for tensor in iter_tensors(model.graph)}
    return tuple(sorted(TensorProto.DataType.Name(kind).lower() for kind in types & _HALVES))


def widen_to_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that computes in float32 where the model computes in 16-bit floats, subgraphs included."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _widen_message(result.graph)
    result.graph.ClearField("value_info")
    _drop_casts(result, model)
    return keep_interface(result, model)


def keep_interface(model: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose inputs and outputs have the original's types, with a Cast where the model has float32.

    Both have the same inputs and outputs but for types. An output that is an input as well is left alone.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    names = OnnxNames.from_model(model)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    given = {value.name for value in graph.input}
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for field, others in ((graph.input, original.graph.input), (graph.output, original.graph.output)):
        for value, other in zip(field, others, strict=True):
            kind = other.type.tensor_type.elem_type
            if kind not in _HALVES:
                continue
            value.CopyFrom(other)
            if field is graph.output and value.name in given:
                continue
            renamed[value.name] = wide = names.derive(value.name, "float32")
            cast = names.derive(wide, "cast")
            if field is graph.input:
                before.append(helper.make_node("Cast", [value.name], [wide], cast, to=TensorProto.FLOAT))
                if value.name in initializers:  # a value that callers may replace: it has the input's type
                    tensor = next(tensor for tensor in original.graph.initializer if tensor.name == value.name)
                    initializers[value.name].CopyFrom(tensor)
            else:
                after.append(helper.make_node("Cast", [wide], [value.name], cast, to=kind))
    for name in renamed.keys() & initializers.keys() - given:
        initializers[name].name = renamed[name]
    for node in graph.node:
        rename_reads(node, renamed)
        for index, name in enumerate(node.output):
            node.output[index] = renamed.get(name, name)
    nodes = [*before, *graph.node, *after]
    graph.ClearField("node")
    graph.node.extend(nodes)
    return result


def widen_tensor(tensor: onnx.TensorProto) -> None:
    """Make a tensor of 16-bit floats one of float32, in place."""
    if tensor.data_type in _HALVES:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _widen_message(message: Any) -> None:
    """Widen every type and tensor in an ONNX message: graphs, nodes, attributes, values."""
    if isinstance(message, onnx.TensorProto):
        widen_tensor(message)
        return
    if isinstance(message, onnx.AttributeProto) and message.name in _TYPE_ATTRIBUTES and message.i in _HALVES:
        message.i = TensorProto.FLOAT
    if isinstance(message, onnx.TypeProto.Tensor | onnx.TypeProto.SparseTensor) and message.elem_type in _HALVES:
        message.elem_type = TensorProto.FLOAT
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                _widen_message(child)


def _drop_casts(model: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Take out, in place, the casts of the main graph that were between float types and are from float32 to float32."""
    graph = infer_shapes(original)
    types = {value.name: value.type.tensor_type.elem_type for value in [*graph.input, *graph.value_info, *graph.output]}
    types |= {tensor.name: tensor.data_type for tensor in original.graph.initializer}
    idle = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Cast"
        and types.get(node.input[0]) in _FLOATS
        and any(attribute.name == "to" and attribute.i == TensorProto.FLOAT for attribute in node.attribute)
    }
    outputs = {value.name for value in model.graph.output}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        rename_reads(node, renamed)
        if node.op_type == "Cast" and node.output[0] in idle - outputs:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
