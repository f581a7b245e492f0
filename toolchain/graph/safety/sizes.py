"""Tensors between the nodes, as far as their shapes are known before the model runs."""

from __future__ import annotations

import math

import onnx
from onnx import helper

from toolchain.errors import malformed
from toolchain.graph.safety.tensors import RANK_MAX, TENSORS_MAX_BYTES
from toolchain.graph.shapes import infer_shapes


def check_sizes(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) a model with a tensor whose shape is known and that no board could hold: an Expand to 10^12."""
    graph = infer_shapes(model)
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor_type = value.type.tensor_type
        dims = tensor_type.shape.dim
        if len(dims) > RANK_MAX:
            raise malformed(
                "a tensor of the model has too many axes",
                where=f"{where}: {value.name!r}",
                expected=f"at most {RANK_MAX}",
                found=str(len(dims)),
                fix="correct the shape that makes it, and export the model again",
            )
        # An axis of unknown length counts as 1: what is refused is too large for any batch.
        elements = math.prod(dim.dim_value for dim in dims if dim.dim_value > 0)
        size_bytes = elements * _measure_element(tensor_type.elem_type)
        if size_bytes > TENSORS_MAX_BYTES:
            raise malformed(
                "a tensor of the model is too large",
                where=f"{where}: {value.name!r}",
                expected="less than 2 GiB",
                found=f"{size_bytes} bytes",
                fix="correct the shape that makes it, such as that of an Expand or a Tile, and export the model again",
            )


def _measure_element(kind: int) -> int:
    """Return a type's bytes; of one that is unknown, or of strings, 1."""
    if kind == onnx.TensorProto.STRING or kind not in helper.get_all_tensor_dtypes():
        return 1
    return max(1, helper.tensor_dtype_to_np_dtype(kind).itemsize)
