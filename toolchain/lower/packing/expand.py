"""The nodes that give a packed weight back: plain ONNX operators of constants, folded when the session is opened.

    words (M, 1) -- BitShift left by (codes a word,) -- BitShift right -- Cast -- Reshape (-1) -- codes
    mask bits likewise -- CumSum -- Mul by the mask -- Gather(zero's code and the codes) -- codes at every place
    codes (+ channel * width of the table) -- Gather(table) -- Reshape (-- Cast -- Mul scales) -- weight

CumSum counts the places of the mask up to each place, so that times the mask it is 0 where the weight is zero, and
the running number, from 1, of the stored codes elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.lower.packing.bit_fields import list_left_shifts, pack_codes, word_bits, word_dtype
from toolchain.lower.packing.forms import PackedForm

OPSET_MIN = 13
"""Gather, Reshape, Slice and CumSum as they are written here are there from opset 11 to 13 on."""


_PREFIX = "packed"


class Expansion:
    """The nodes and initializers of one packed weight; names are short because the file holds each twice."""

    def __init__(self, form: PackedForm, *, output: str, shape: tuple[int, ...], names: OnnxNames, index: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._names = names
        self._prefix = f"{_PREFIX}{index}"
        self._write(form, output, shape)

    @property
    def size_bytes(self) -> int:
        """What this weight takes in the file; shared constants are counted with each."""
        nodes = sum(int(node.ByteSize()) for node in self.nodes)
        return nodes + sum(int(tensor.ByteSize()) for tensor in self.initializers.values())

    def _write(self, form: PackedForm, output: str, shape: tuple[int, ...]) -> None:
        width = form.table.shape[1]
        codes = None
        if form.codes is not None and form.bits is not None:
            codes = self._unpack(form.codes, form.bits, exact=form.mask is None)
        if form.mask is not None:
            codes = self._spread(codes, form.mask, zero_code=width - 1)
        if codes is None:
            raise ValueError(form.kind)
        if form.table.shape[0] > 1 and form.axis is not None:
            codes = self._node("Reshape", codes, self._constant(np.array(shape)))
            rows = np.arange(form.table.shape[0], dtype=np.int32) * width
            codes = self._node("Add", codes, self._constant(_along(rows, form.axis, len(shape))))
        values = self._node("Gather", self._constant(form.table.reshape(-1)), codes)
        if form.scales is None or form.axis is None:
            self._node("Reshape", values, self._constant(np.array(shape)), output=output)
            return
        values = self._node("Reshape", values, self._constant(np.array(shape)))
        values = self._node("Cast", values, to=TensorProto.FLOAT)
        self._node("Mul", values, self._constant(_along(form.scales, form.axis, len(shape))), output=output)

    def _unpack(self, codes: NDArray[np.integer], bits: int, *, exact: bool) -> str:
        """Return int32 codes `(N,)`; where they need not be exact, with those of the last word's padding."""
        words = pack_codes(codes, bits)
        name = self._constant(words)
        if bits < word_bits(bits):
            dtype = word_dtype(bits)
            name = self._node("BitShift", name, self._shared(f"left{bits}", list_left_shifts(bits)), direction="LEFT")
            right = np.array(word_bits(bits) - bits, dtype=dtype)
            name = self._node("BitShift", name, self._shared(f"right{bits}", right), direction="RIGHT")
        name = self._node("Cast", name, to=TensorProto.INT32)
        name = self._node("Reshape", name, self._shared("flat", np.array([-1])))
        if exact and len(words) * (word_bits(bits) // bits) != len(codes):
            name = self._node(
                "Slice", name, self._shared("start", np.array([0])), self._constant(np.array([len(codes)]))
            )
        return name

    def _spread(self, codes: str | None, mask: NDArray[np.bool_], *, zero_code: int) -> str:
        """Return the codes at every place; without codes, the place in the table of values, whose last is zero."""
        bits = self._unpack(mask.astype(np.int64), 1, exact=True)
        numbers = self._node("CumSum", bits, self._shared("axis", np.array(0)))
        if codes is None:
            # The running number less 1 where the mask is; -1, the last value, elsewhere.
            numbers = self._node("Mul", numbers, bits)
            return self._node("Sub", numbers, self._shared("one", np.array(1, dtype=np.int32)))
        numbers = self._node("Mul", numbers, bits)
        with_zero = self._node("Concat", self._constant(np.array([zero_code], dtype=np.int32)), codes, axis=0)
        return self._node("Gather", with_zero, numbers)

    def _node(self, op_type: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or self._names.derive(self._prefix, str(len(self.nodes)))
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def _constant(self, value: NDArray[Any]) -> str:
        return self._store(self._names.derive(self._prefix, f"c{len(self.initializers)}"), value)

    def _shared(self, name: str, value: NDArray[Any]) -> str:
        """Store a constant that every weight means the same by."""
        return self._store(self._names.derive(_PREFIX, name), value)

    def _store(self, name: str, value: NDArray[Any]) -> str:
        self.initializers[name] = numpy_helper.from_array(value, name)
        return name


def _along(values: NDArray[Any], axis: int, ndim: int) -> NDArray[Any]:
    """Return values of each channel in a shape that broadcasts over the weight."""
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)
