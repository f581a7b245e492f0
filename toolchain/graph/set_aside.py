"""Large weights set aside, while a tool that copies a model several times works on the rest of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import onnx
from onnx import helper

# A weight as large holds no shape, axis or scale that a tool would look at.
ASIDE_MIN_BYTES = 2**20


def list_large_weights(model: onnx.ModelProto) -> list[str]:
    """Return the names of the main graph's initializers that are worth to be set aside."""
    return [tensor.name for tensor in model.graph.initializer if len(tensor.raw_data) >= ASIDE_MIN_BYTES]


def copy_without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model without the main graph's initializers."""
    rest = onnx.ModelProto()
    _copy_fields(model, rest, skipped={"graph"})
    _copy_fields(model.graph, rest.graph, skipped={"initializer"})
    return rest


def set_weights_aside(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy of the model in which these initializers are inputs; they themselves are not copied."""
    graph, rest = model.graph, copy_without_weights(model)
    rest.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name not in names)
    known = {value.name for value in graph.input}
    rest.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if tensor.name in names and tensor.name not in known
    )
    return rest


def put_weights_back(rest: onnx.ModelProto, model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy of `rest` that has the weights of these names as the model has them, in the model's order."""
    whole, known = onnx.ModelProto(), {value.name for value in model.graph.input}
    _copy_fields(rest, whole, skipped={"graph"})
    _copy_fields(rest.graph, whole.graph, skipped={"initializer", "input"})
    whole.graph.input.extend(value for value in rest.graph.input if value.name not in names or value.name in known)
    made = {tensor.name: tensor for tensor in rest.graph.initializer}
    for tensor in model.graph.initializer:
        if tensor.name in names:
            whole.graph.initializer.append(tensor)
        elif tensor.name in made:
            whole.graph.initializer.append(made.pop(tensor.name))
    whole.graph.initializer.extend(made.values())
    return whole


def _copy_fields(source: Any, target: Any, *, skipped: Collection[str]) -> None:
    for field, value in source.ListFields():
        if field.name in skipped:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
