"""Tensors inside the model, dense and sparse, whose data is not what they declare."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tests.hostile_models.family import Family, Maker
from tests.hostile_models.parts import WEIGHTS, const, conv, good, model, node, sum_into

FAMILY = Family("tensors", good)


def _weights(
    kind: int = TensorProto.FLOAT, dims: tuple[int, ...] = (4, 3, 3, 3), *, cast: bool = False, **data: Any
) -> Maker:
    def make(_: Path) -> onnx.ModelProto:
        tensor = TensorProto(name="w", data_type=kind, dims=dims, **data)
        nodes = [node("Cast", ["w"], ["wf"], to=1), node("Conv", ["input", "wf"], ["out"])] if cast else [conv()]
        return model(nodes, [tensor])

    return make


_DENSE: Mapping[str, tuple[str, Maker]] = {
    "raw_short": ("reads beyond its bytes", _weights(raw_data=bytes(431))),
    "raw_long": ("more bytes than elements", _weights(raw_data=bytes(433))),
    "raw_empty": ("no bytes at all", _weights()),
    "raw_and_numbers": ("data twice: which is it?", _weights(raw_data=bytes(432), float_data=[1.0] * 108)),
    "numbers_short": ("fewer numbers than elements", _weights(float_data=[1.0] * 107)),
    "numbers_long": ("more numbers than elements", _weights(float_data=[1.0] * 109)),
    "numbers_of_another_type": ("data in the field of another type", _weights(int64_data=[1] * 108)),
    "type_undefined": ("no type", _weights(TensorProto.UNDEFINED, raw_data=bytes(432))),
    "type_99": ("a type that nobody knows", _weights(99, raw_data=bytes(432))),
    "strings": ("strings as weights", _weights(TensorProto.STRING, string_data=[b"x"] * 108)),
    "strings_raw": ("strings in raw form", _weights(TensorProto.STRING, raw_data=bytes(108))),
    "strings_17_mib": ("text without end", _weights(TensorProto.STRING, (1,), string_data=[b"x" * 17 * 2**20])),
    "complex": ("weights that no Conv takes", _weights(TensorProto.COMPLEX64, raw_data=bytes(864))),
    "int4_short": ("packed elements that are not all there", _weights(TensorProto.INT4, cast=True, raw_data=bytes(5))),
    "int4_long": ("packed elements as if a byte each", _weights(TensorProto.INT4, cast=True, raw_data=bytes(108))),
    "dims_negative": ("a negative length", _weights(dims=(-4, 3, 3, 3), raw_data=bytes(432))),
    "dims_two_negative": (
        "negative lengths with a positive product",
        _weights(dims=(-4, -3, 3, 3), raw_data=bytes(432)),
    ),
    "dims_100k": ("100,000 axes", _weights(dims=(1,) * 100_000, raw_data=bytes(4))),
    "dims_overflow": ("a product that is 0 in 64 bits", _weights(dims=(2**32, 2**32, 1, 1))),
    "dims_zero_times_huge": ("an empty tensor with lengths beyond 64 bits", _weights(dims=(0, 2**62, 2**62))),
    "dims_huge": ("256 GiB that are not there", _weights(dims=(2**18, 2**18, 1, 1), raw_data=bytes(4))),
    "dims_of_another_layer": ("weights that fit no input", _weights(dims=(4, 5, 3, 3), raw_data=bytes(720))),
    "segment": ("a part of a tensor", _weights(raw_data=bytes(432), segment=TensorProto.Segment(begin=0, end=108))),
}
for _name, (_why, _make) in _DENSE.items():
    FAMILY.add(_name, _why, _make)


@FAMILY.kind("512 initializers that declare 16 GiB in all and have nothing")
def _adds_up(_: Path) -> onnx.ModelProto:
    tensors = [TensorProto(name=f"w{index}", data_type=1, dims=[2**23]) for index in range(512)]
    return model([conv()], [WEIGHTS, *tensors])


def _make_sparse(
    indices: Any, dims: tuple[int, ...] = (4, 3, 3, 3), kind: Any = np.int64, count: int | None = None
) -> onnx.ModelProto:
    made = model([conv()], [])
    sparse = made.graph.sparse_initializer.add(dims=dims)
    values = np.full(len(indices) if count is None else count, 0.5, np.float32)
    sparse.values.CopyFrom(const("w", values, np.float32))
    sparse.indices.CopyFrom(const("i", indices, kind))
    return made


SPARSE = Family("sparse", lambda _: _make_sparse(list(range(0, 108, 3))))
_SPARSE: Mapping[str, tuple[str, Any]] = {
    "index_beyond": ("writes beyond the tensor", lambda _: _make_sparse([0, 5, 10**9])),
    "index_negative": ("writes before the tensor", lambda _: _make_sparse([-5])),
    "index_twice": ("two values of one place", lambda _: _make_sparse([3, 3])),
    "index_unsorted": ("places out of order", lambda _: _make_sparse([5, 3])),
    "index_beyond_an_axis": ("a place outside of one axis", lambda _: _make_sparse([[0, 0, 0, 99]])),
    "indices_int32": ("indices of another type", lambda _: _make_sparse([0, 5], kind=np.int32)),
    "indices_too_few": ("values without a place", lambda _: _make_sparse([0, 5], count=9)),
    "indices_of_3_axes": ("places in three axes of four", lambda _: _make_sparse([[0, 0, 0]])),
    "indices_of_rank_3": ("indices of a shape that means nothing", lambda _: _make_sparse([[[0, 0, 0, 0]]])),
    "dims_huge": ("a value that becomes 36 TiB", lambda _: _make_sparse([0], dims=(2**20, 2**20, 3, 3))),
    "dims_4_gib": ("a value that becomes 4 GiB", lambda _: _make_sparse([0], dims=(2**15, 2**15, 1, 1))),
    "dims_negative": ("a negative length", lambda _: _make_sparse([0], dims=(-4, -3, 3, 3))),
    "dims_none": ("a scalar with indices", lambda _: _make_sparse([0], dims=())),
}
for _name, (_why, _make) in _SPARSE.items():
    SPARSE.add(_name, _why, _make)


@SPARSE.kind("a Constant that becomes 16 GiB")
def _in_constant(_: Path) -> onnx.ModelProto:
    sparse = onnx.SparseTensorProto(dims=[2**32])
    sparse.values.CopyFrom(const("", [1.0], np.float32))
    sparse.indices.CopyFrom(const("", [7]))
    return model([node("Constant", [], ["c"], sparse_value=sparse), *sum_into("c")], [])
