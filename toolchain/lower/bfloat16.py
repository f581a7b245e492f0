"""Weights in bfloat16, half as large, with a Cast to float32 behind each that runtimes fold when they open the file."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights

# Biases and scales are few, and their rounding would reach everything behind them.
_AXES_MIN = 2
# Less than what the Cast takes.
_ELEMENTS_MIN = 256


def store_in_bfloat16(model: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return a copy of the model with its float32 weights in bfloat16, and the names of these weights.

    A weight that bfloat16 cannot hold, because it would round to infinity, stays as it is.
    """
    names, result = OnnxNames.from_model(model), copy_without_weights(model)
    seen = {value.name for value in (*model.graph.input, *model.graph.output)}
    casts: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        stored = None if tensor.name in seen else _round(tensor)
        if stored is None:
            result.graph.initializer.append(tensor)
            continue
        stored.name = names.derive(tensor.name, "bfloat16")
        result.graph.initializer.append(stored)
        cast = names.derive(tensor.name, "widened")
        casts.append(helper.make_node("Cast", [stored.name], [tensor.name], cast, to=TensorProto.FLOAT))
    nodes = [*casts, *result.graph.node]
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    return result, tuple(cast.output[0] for cast in casts)


def _round(tensor: onnx.TensorProto) -> onnx.TensorProto | None:
    """Return a weight in bfloat16, or None for what stays as it is."""
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < _AXES_MIN or np.prod(tensor.dims) < _ELEMENTS_MIN:
        return None
    values = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        rounded = values.astype(helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16))
    if not np.array_equal(np.isfinite(values), np.isfinite(rounded)):
        return None
    return helper.make_tensor("", TensorProto.BFLOAT16, tensor.dims, rounded.tobytes(), raw=True)
