"""Puts into a graph what a sensor's numbers need to be what the model takes.

    input (sensor's type, layout, colours) -> Cast -> Transpose -> Gather -> Mul -> Add -> the model

Transpose where the layouts differ, Gather of the channels where the colours do, Mul and Add where they change anything:
(x * scale - mean) / std is x * (scale / std) - mean / std, each worked out in float64. Cast comes first, because TensorRT takes
bytes at its input for nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.agent.sensor import InputSpec
from toolchain.errors import usage
from toolchain.graph.learned_ranges import rename_learned
from toolchain.graph.names import OnnxNames
from toolchain.graph.view import rename_reads

_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def put_input_in_front(model: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """Return a copy of a float model that takes the sensor's numbers under the name of its input.

    Raises ToolchainError (exit 2) where that input is no float of the shape that the sensor's pictures become.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    fed = _find_input(result, spec)
    names = OnnxNames.from_model(result)
    inner = names.derive(spec.name, "processed")
    for node in result.graph.node:
        rename_reads(node, {spec.name: inner})
    rename_learned(result, {spec.name: inner})
    nodes, tensors = _make_steps(spec, fed.type.tensor_type.elem_type, names, inner)
    _state_type(fed.type.tensor_type, spec)
    made = [*nodes, *result.graph.node]
    del result.graph.node[:]
    result.graph.node.extend(made)
    result.graph.initializer.extend(tensors)
    return result


def _state_type(tensor: onnx.TypeProto.Tensor, spec: InputSpec) -> None:
    """Let an input be of the sensor's type and shape; the batch stays what it was."""
    tensor.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(spec.type))
    if spec.picture is not None:
        sizes = [onnx.TensorShapeProto.Dimension(dim_value=size) for size in spec.picture.list_shape()[1:]]
        del tensor.shape.dim[1:]
        tensor.shape.dim.extend(sizes)


def _find_input(model: onnx.ModelProto, spec: InputSpec) -> onnx.ValueInfoProto:
    initialized = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in initialized}
    if spec.name not in inputs:
        raise usage(
            f"the model has no input {spec.name}",
            where="input.name",
            expected=f"one of {', '.join(inputs)}",
            found=spec.name,
            fix="correct the name",
        )
    tensor = inputs[spec.name].type.tensor_type
    axes = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    wanted = _list_model_shape(spec)
    fits = wanted is None or (
        len(axes) == 4
        and all(size in (None, want) for size, want in zip(axes, wanted, strict=True) if want is not None)
    )
    if tensor.elem_type not in floats or not axes or not fits:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        raise usage(
            "what the sensor gives is not what the model takes",
            where=f"input {spec.name}",
            expected="floats"
            + ("" if wanted is None else f" of shape {_show(wanted)}, which [input] makes of the pictures"),
            found=f"{kind} of shape {_show(axes)}",
            fix="correct size, colour or model_layout of [input]",
        )
    fed: onnx.ValueInfoProto = inputs[spec.name]
    return fed


def _list_model_shape(spec: InputSpec) -> list[int | None] | None:
    """Return the shape of pictures as the model takes them; None for sound, which keeps its axes."""
    picture = spec.picture
    if picture is None:
        return None
    shape = list(picture.list_shape())
    if picture.layout != spec.in_graph.model_layout:
        shape = [shape[axis] for axis in (_TO_NCHW if picture.layout == "NHWC" else _TO_NHWC)]
    return shape


def _show(axes: list[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in axes)})"


def _make_steps(
    spec: InputSpec, element: int, names: OnnxNames, output: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes from the sensor's input to `output`, and their constants."""
    graph, picture = spec.in_graph, spec.picture
    steps: list[tuple[str, NDArray[np.generic] | None, dict[str, Any]]] = [("Cast", None, {"to": element})]
    layout = graph.model_layout
    if picture is not None and picture.layout != layout:
        steps.append(("Transpose", None, {"perm": _TO_NCHW if layout == "NCHW" else _TO_NHWC}))
    if picture is not None and picture.tensor_colour != graph.model_colour:
        steps.append(("Gather", np.array([2, 1, 0], dtype=np.int64), {"axis": 1 if layout == "NCHW" else 3}))
    kind = helper.tensor_dtype_to_np_dtype(element)
    std = np.array(graph.std, dtype=np.float64)
    factor, shift = graph.scale / std, -np.array(graph.mean, dtype=np.float64) / std
    if (factor != 1).any():
        steps.append(("Mul", _align(factor, layout).astype(kind), {}))
    if (shift != 0).any():
        steps.append(("Add", _align(shift, layout).astype(kind), {}))
    nodes, tensors, read = [], [], spec.name
    for index, (operator, constant, attributes) in enumerate(steps):
        name = names.derive(spec.name, operator.lower())
        inputs = [read]
        if constant is not None:
            inputs.append(names.derive(name, "constant"))
            tensors.append(numpy_helper.from_array(np.asarray(constant), inputs[1]))
        read = output if index == len(steps) - 1 else names.derive(name, "output")
        nodes.append(helper.make_node(operator, inputs, [read], name, **attributes))
    return nodes, tensors


def _align(values: NDArray[np.float64], layout: str | None) -> NDArray[np.float64]:
    """Return numbers for all channels, or for each of them, so that they meet the channels' axis."""
    if (values == values[0]).all():
        return np.array(values[0])
    return values.reshape(-1, 1, 1) if layout == "NCHW" else values
