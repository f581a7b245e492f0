"""What techniques change about an int8 model, apart from its ranges: the scale and the bias of a layer's channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView
from toolchain.lower.qdq_plan import QdqPlan, WeightInput


@dataclass(frozen=True, eq=False)
class Adjustment:
    """What is changed where a layer is int8; a layer in float stays as the user made it."""

    shifts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What is added to a layer's output, (channels,), by its name: it becomes part of its bias."""
    gains: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """What a layer's output is multiplied by before that, (channels,): it becomes part of the scales of its weight."""


@dataclass(frozen=True)
class BiasPlace:
    """Where a layer has its bias, or can have one."""

    reader: str
    """The node that reads it: the layer itself, or the Add behind a MatMul."""
    index: int
    """Of its input; one more than it has where there is no bias yet."""
    name: str
    """Of the initializer; empty where there is none."""


def find_bias_place(view: GraphView, node: onnx.NodeProto) -> BiasPlace | None:
    """Return where the bias of a Conv, Gemm or MatMul is, or None where it has none of its own that can change.

    A bias that several nodes read is stored once, and stays so. A MatMul has the constant that an Add right behind it adds.
    """
    if node.op_type in {"Conv", "Gemm"}:
        name = node.input[2] if len(node.input) > 2 else ""
        return BiasPlace(node.name, 2, name) if not name or _is_own_constant(view, name) else None
    reader = view.only_consumer(node.output[0]) if node.op_type == "MatMul" else None
    if reader is None or reader.op_type != "Add":
        return None
    index = 1 if reader.input[0] == node.output[0] else 0
    name = reader.input[index]
    is_vector = _is_own_constant(view, name) and len(view.initializers[name].dims) == 1
    return BiasPlace(reader.name, index, name) if is_vector else None


def _is_own_constant(view: GraphView, name: str) -> bool:
    overridable = {value.name for value in view.model.graph.input}
    return name in view.initializers and name not in overridable and view.only_consumer(name) is not None


def is_own_weight(view: GraphView, weight: WeightInput) -> bool:
    """Return whether one node alone reads a layer's weight, its Transpose where there is one."""
    reader = view.only_consumer(weight.source)
    return reader is not None and (not weight.perm or view.only_consumer(reader.output[0]) is not None)


def adjust_layers(model: onnx.ModelProto, adjustment: Adjustment, plan: QdqPlan) -> onnx.ModelProto:
    """Return a copy of the model with the gains and shifts of the layers that a plan has in int8; itself where none has.

    A gain multiplies weight and bias. A shift that has no place is left out, and so is a gain whose weight others read.
    """
    weights = {node.name: node.weight for node in plan.nodes if node.weight is not None}
    chosen = [node for node in model.graph.node if node.name in weights.keys() & adjustment.shifts.keys()]
    if not chosen:
        return model
    view, names = GraphView.from_model(model), OnnxNames.from_model(model)
    places: dict[str, tuple[BiasPlace, str]] = {}
    made: dict[str, onnx.TensorProto] = {}
    for node in chosen:
        place, weight, gain = find_bias_place(view, node), weights[node.name], adjustment.gains.get(node.name)
        if place is None:
            continue
        bias = view.constant(place.name) if place.name else None
        values = np.zeros(1, np.float32) if bias is None else bias.astype(np.float32)
        if gain is not None and is_own_weight(view, weight):
            made[weight.source] = _scale_weight(view, weight, gain)
            values = values * gain if place.reader == node.name else values  # an Add comes after the layer's output
        corrected = names.derive(node.name, "bias", "corrected")
        places[place.reader] = place, corrected
        made[place.name or corrected] = numpy_helper.from_array(values + adjustment.shifts[node.name], corrected)
    result = copy_without_weights(model)
    for node in result.graph.node:
        if node.name in places:
            place, name = places[node.name]
            node.input.extend([""] * (place.index + 1 - len(node.input)))
            node.input[place.index] = name
    result.graph.initializer.extend(made.pop(tensor.name, tensor) for tensor in model.graph.initializer)
    result.graph.initializer.extend(made.values())
    return result


def _scale_weight(view: GraphView, weight: WeightInput, gain: NDArray[np.float32]) -> onnx.TensorProto:
    values = numpy_helper.to_array(view.initializers[weight.source])
    shape = [1] * values.ndim
    shape[weight.stored_axis] = -1
    return numpy_helper.from_array(values * gain.reshape(shape), weight.source)
