"""The tensors inside a model: what each declares, what all of them need, and whether their data is what they declare."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import onnx
from onnx import helper

from toolchain.errors import ToolchainError, malformed
from toolchain.graph.walk import iter_tensors

# Largest tensor inside a model, and all of them: what one protobuf message can hold.
TENSORS_MAX_BYTES = 2**31 - 1
# numpy holds no array with more axes (numpy/core/include/numpy/ndarraytypes.h, NPY_MAXDIMS).
RANK_MAX = 64

# Types that share a byte; every other takes the bytes of its numpy type.
_BITS: dict[int, int] = {
    **dict.fromkeys((onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT4E2M1), 4),
    **dict.fromkeys((onnx.TensorProto.INT2, onnx.TensorProto.UINT2), 2),
}
_DATA_FIELDS = ("raw_data", "float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_COMPLEX = {onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128}
_FIX = "export the model again; do not use a file whose source you do not trust"


def check_declared(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) tensors of no known type, of impossible shapes, or that add up to 2 GiB, by what they declare.

    No data is looked at, so that data outside of the file need not be read for it. A sparse tensor counts as the dense
    one that runtimes make of it.
    """
    total_bytes = 0
    for tensor in iter_tensors(model):
        _check_type(tensor, where)
        _check_dims(tensor.dims, _name(tensor, where))
        total_bytes += measure_declared(tensor)
    for sparse in iter_sparse(model):
        place = _name(sparse.values, where)
        _check_dims(sparse.dims, place)
        total_bytes += math.prod(sparse.dims) * _bits(sparse.values.data_type) // 8
        _check_sparse(sparse, place)
    if total_bytes > TENSORS_MAX_BYTES:
        raise malformed(
            "the model's tensors are too large",
            where=where,
            expected="< 2 GiB in all",
            found=f"{total_bytes} bytes",
            fix="export a smaller model: fewer layers or channels, or weights in float16",
        )


def measure_declared(tensor: onnx.TensorProto) -> int:
    """Return the bytes of a tensor's data in raw form, of its type and shape; of strings, one for each."""
    elements: int = math.prod(tensor.dims)
    return (elements * _bits(tensor.data_type) + 7) // 8


def check_data(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) tensors whose data, all inside the model, is not exactly what type and shape declare."""
    for tensor in iter_tensors(model):
        _check_data(tensor, _name(tensor, where))


def iter_sparse(message: Any) -> Iterator[onnx.SparseTensorProto]:
    """Yield every sparse tensor inside an ONNX message."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for child in value if field.is_repeated else (value,):
                if isinstance(child, onnx.SparseTensorProto):
                    yield child
                else:
                    yield from iter_sparse(child)


def _check_type(tensor: onnx.TensorProto, where: str) -> None:
    if tensor.data_type == onnx.TensorProto.UNDEFINED or tensor.data_type not in onnx.TensorProto.DataType.values():
        raise malformed(
            "a tensor has no known type",
            where=_name(tensor, where),
            found=str(tensor.data_type),
            fix=f"upgrade onnx (here {onnx.__version__}), or export the model again with an older type",
        )


def _check_dims(dims: Any, place: str) -> None:
    if len(dims) > RANK_MAX:
        raise _refuse("a tensor has too many axes", place, f"at most {RANK_MAX}", str(len(dims)))
    if any(length < 0 for length in dims):
        raise _refuse("a tensor has an axis of negative length", place, "lengths from 0", str(list(dims)))
    # An axis of length 0 hides the others from the product, and not from what multiplies them in 64 bits.
    if math.prod(length for length in dims if length) > TENSORS_MAX_BYTES:
        raise _refuse("a tensor of the model is too large", place, "less than 2 Gi elements", str(list(dims)))


def _check_sparse(sparse: onnx.SparseTensorProto, place: str) -> None:
    count, indices = list(sparse.values.dims), sparse.indices
    if len(count) != 1 or list(indices.dims) not in (count, [*count, len(sparse.dims)]):
        raise _refuse(
            "a sparse tensor's indices do not fit its values",
            place,
            f"an index, or one for each of {len(sparse.dims)} axes, for each of {count} values",
            f"indices of shape {list(indices.dims)}",
        )
    if indices.data_type != onnx.TensorProto.INT64:
        raise _refuse("a sparse tensor's indices are no int64", place, "int64", _write_type(indices.data_type))


def _check_data(tensor: onnx.TensorProto, place: str) -> None:
    """Compare the one field with data to what it must be (onnx.proto, TensorProto)."""
    if tensor.HasField("segment"):
        raise _refuse("a tensor is one of several segments", place, "whole tensors", "a segment")
    fields = [name for name in _DATA_FIELDS if len(getattr(tensor, name))]
    elements, kind = math.prod(tensor.dims), tensor.data_type
    if not fields and not elements:
        return
    if len(fields) != 1:
        raise _refuse("a tensor has no data, or data twice", place, "one field with data", ", ".join(fields) or "none")
    (field,) = fields
    typed = helper.tensor_dtype_to_field(kind)
    if field == "raw_data" and kind != onnx.TensorProto.STRING:
        expected, unit = measure_declared(tensor), "bytes"
    elif field == typed:
        # Packed types have as many to a number of this field as to a byte; complex ones two numbers each.
        expected = measure_declared(tensor) if kind in _BITS else elements * (2 if kind in _COMPLEX else 1)
        unit = "numbers"
    else:
        raise _refuse("a tensor has its data in the field of another type", place, typed, field)
    found = len(getattr(tensor, field))
    if found != expected:
        raise _refuse(
            "a tensor's data does not fit its type and shape",
            place,
            f"{expected} {unit} for {_write_type(kind)}{list(tensor.dims)}",
            f"{found}",
        )


def _bits(kind: int) -> int:
    if kind == onnx.TensorProto.STRING:
        return 8
    return _BITS.get(kind) or helper.tensor_dtype_to_np_dtype(kind).itemsize * 8


def _write_type(kind: int) -> str:
    return str(onnx.TensorProto.DataType.Name(kind)).lower()


def _name(tensor: onnx.TensorProto, where: str) -> str:
    return f"{where}: tensor {tensor.name!r}"


def _refuse(what: str, place: str, expected: str, found: str) -> ToolchainError:
    return malformed(what, where=place, expected=expected, found=found[:200], fix=_FIX)
