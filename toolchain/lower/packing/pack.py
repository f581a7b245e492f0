"""Replaces the weights of a model by packed ones, where that makes the file smaller; what is computed stays the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.opset import read_opset
from toolchain.graph.session import HostSession
from toolchain.lower.packing.expand import OPSET_MIN, Expansion
from toolchain.lower.packing.forms import FormKind, choose_form

# Smaller tensors are mostly biases and scales, and the nodes that expand one take some 500 bytes: none would gain.
_ELEMENTS_MIN = 256

# Expanding takes time when a session opens, so that a tenth is not worth it: 7-bit weights, which every int8 model on a
# CPU without VNNI has, would be 8/9 of their size; 6-bit ones are 4/5.
_RATIO_MAX = 0.85

_TYPES = {TensorProto.FLOAT, TensorProto.INT8}


@dataclass(frozen=True)
class PackedWeight:
    """How a weight lies in the file."""

    name: str
    form: FormKind
    bits: int | None
    """Of each code; None where values are stored as they are."""
    values: int
    """How many values the weight has, or the fullest channel of it where each has its own."""
    zeros_left_out: bool
    bytes_before: int
    bytes_after: int


def pack_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[PackedWeight, ...]]:
    """Return a copy of the model with packed weights, and what was packed; the model itself where nothing was.

    The expanded weights are bit for bit those of the model, which ONNX Runtime itself is asked about for each, but for
    negative zeros, which become zeros.

    Raises RuntimeError where the runtime expands a weight to something else.
    """
    if read_opset(model) < OPSET_MIN:
        return model, ()
    packed: list[PackedWeight] = []
    expansions: dict[str, Expansion] = {}
    inputs = {value.name for value in model.graph.input}
    names = OnnxNames.from_model(model)
    for tensor in model.graph.initializer:
        if tensor.data_type not in _TYPES or tensor.name in inputs or np.prod(tensor.dims) < _ELEMENTS_MIN:
            continue
        found = _pack_tensor(tensor, names=names, index=len(packed))
        if found is not None:
            expansion, record = found
            expansions[tensor.name] = expansion
            packed.append(record)
    if not packed:
        return model, ()
    return _rewrite(model, expansions), tuple(packed)


def _pack_tensor(tensor: onnx.TensorProto, *, names: OnnxNames, index: int) -> tuple[Expansion, PackedWeight] | None:
    weight: NDArray[Any] = numpy_helper.to_array(tensor) + np.zeros(
        (), helper.tensor_dtype_to_np_dtype(tensor.data_type)
    )
    form = choose_form(weight)
    if form is None or form.size_bytes > _RATIO_MAX * weight.nbytes:
        return None
    expansion = Expansion(form, output=tensor.name, shape=weight.shape, names=names, index=index)
    if expansion.size_bytes > _RATIO_MAX * tensor.ByteSize():
        return None
    _check_expansion(expansion, tensor.name, tensor.data_type, weight)
    return expansion, PackedWeight(
        name=tensor.name,
        form=form.kind,
        bits=form.bits,
        values=len(np.unique(weight)) if form.axis is None or form.scales is not None else form.table.shape[1],
        zeros_left_out=form.mask is not None,
        bytes_before=tensor.ByteSize(),
        bytes_after=expansion.size_bytes,
    )


def _check_expansion(expansion: Expansion, name: str, data_type: int, weight: NDArray[Any]) -> None:
    graph = helper.make_graph(
        expansion.nodes,
        "expansion",
        [],
        [helper.make_tensor_value_info(name, data_type, weight.shape)],
        list(expansion.initializers.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET_MIN)], ir_version=8)
    found = HostSession(model).run({})[name]
    if found.dtype != weight.dtype or found.shape != weight.shape or found.tobytes() != weight.tobytes():
        msg = f"the packed weight {name} expands to something else"
        raise RuntimeError(msg)


def _rewrite(model: onnx.ModelProto, expansions: dict[str, Expansion]) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in expansions]
    added = {name: tensor for expansion in expansions.values() for name, tensor in expansion.initializers.items()}
    nodes = [node for expansion in expansions.values() for node in expansion.nodes]
    result.graph.ClearField("initializer")
    result.graph.initializer.extend([*kept, *added.values()])
    result.graph.ClearField("node")
    result.graph.node.extend([*nodes, *model.graph.node])
    return result
