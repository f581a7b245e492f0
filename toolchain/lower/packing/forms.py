"""The ways in which a weight can be smaller: a codebook, a grid or codebook per channel, without its zeros."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.lower.packing.bit_fields import count_bits, word_bits
from toolchain.lower.packing.channel_grid import find_channel_grids

FormKind = Literal["codebook", "channel codebook", "channel grid", "values"]

_VALUES_MAX = 256
"""8 bits: more values are not worth a code."""

_MASK_NODES_BYTES = 400
"""What the nodes that expand a mask take in the file."""


@dataclass(frozen=True)
class PackedForm:
    """weight = table[channel or 0, code] (times the channel's scale), at every place or at those of the mask only."""

    kind: FormKind
    codes: NDArray[np.int64] | None
    """`(N,)`, or of the places in the mask only; None where the table's one row holds the values there one by one."""
    table: NDArray[Any]
    """`(channels or 1, values)`: the weight's type, int8 or int16 on a grid; with a mask, zero is the last of each row."""
    axis: int | None = None
    """Of the channels."""
    scales: NDArray[np.float32] | None = None
    """`(channels,)` of a grid."""
    mask: NDArray[np.bool_] | None = None
    """`(N,)`: where the weight is not zero."""

    @property
    def bits(self) -> int | None:
        """The width of a code."""
        stored = self.table.shape[1] - (0 if self.mask is None else 1)
        return None if self.codes is None else count_bits(stored)

    @property
    def size_bytes(self) -> int:
        """What the arrays take, without the few bytes of names and nodes."""
        codes = 0 if self.codes is None or self.bits is None else _count_bytes(len(self.codes), self.bits)
        mask = 0 if self.mask is None else _count_bytes(len(self.mask), 1)
        return codes + mask + self.table.nbytes + (0 if self.scales is None else self.scales.nbytes)


def choose_form(weight: NDArray[Any]) -> PackedForm | None:
    """Return the smallest form of a weight; None where it has no zero, and more values than any form can hold."""

    def estimate(form: PackedForm) -> int:
        return form.size_bytes + (0 if form.mask is None else _MASK_NODES_BYTES)

    return min(_list_forms(weight), key=estimate, default=None)


def _list_forms(weight: NDArray[Any]) -> Iterator[PackedForm]:
    flat = weight.reshape(-1)
    nonzero = flat != 0
    masks: list[NDArray[np.bool_] | None] = [None]
    if nonzero.any() and not nonzero.all():
        masks.append(nonzero)
        yield PackedForm("values", None, np.append(flat[nonzero], flat.dtype.type(0))[None], mask=nonzero)
    grids = [(axis, grid) for axis in _list_axes(weight) if (grid := _find_grid(weight, axis)) is not None]
    for mask in masks:
        forms = [_find_codebook(flat, mask)]
        forms += [_find_channel_codebook(weight, axis, mask) for axis in _list_axes(weight)]
        forms += [_describe_grid(axis, integers, scales, mask) for axis, (integers, scales) in grids]
        yield from (form for form in forms if form is not None)


def _list_axes(weight: NDArray[Any]) -> tuple[int, ...]:
    """Return where the output channels may lie: axis 0, or axis 1 of a matrix that MatMul reads."""
    return {0: (), 1: (), 2: (0, 1)}.get(weight.ndim, (0,))


def _find_codebook(flat: NDArray[Any], mask: NDArray[np.bool_] | None) -> PackedForm | None:
    table, codes = np.unique(flat if mask is None else flat[mask], return_inverse=True)
    if len(table) > _VALUES_MAX:
        return None
    return PackedForm("codebook", codes, _with_zero(table[None], mask), mask=mask)


def _find_channel_codebook(weight: NDArray[Any], axis: int, mask: NDArray[np.bool_] | None) -> PackedForm | None:
    rows = _to_rows(weight, axis)
    found = [np.unique(row if mask is None else row[row != 0], return_inverse=True) for row in rows]
    count = max(len(values) for values, _ in found)
    if count > _VALUES_MAX:
        return None
    table = np.zeros((len(rows), count), dtype=weight.dtype)
    codes = np.zeros(rows.shape, dtype=np.int64)
    for channel, (values, inverse) in enumerate(found):
        table[channel, : len(values)] = values
        codes[channel, slice(None) if mask is None else rows[channel] != 0] = inverse
    flat = _to_flat(codes, weight.shape, axis)
    stored = flat if mask is None else flat[mask]
    return PackedForm("channel codebook", stored, _with_zero(table, mask), axis=axis, mask=mask)


def _find_grid(weight: NDArray[Any], axis: int) -> tuple[NDArray[np.int16], NDArray[np.float32]] | None:
    """Return the integers `(N,)` and scales of a weight; None for other types and where a codebook is smaller anyway."""
    if weight.dtype != np.float32 or len(np.unique(weight)) <= _VALUES_MAX:
        return None
    found = find_channel_grids(_to_rows(weight, axis))
    return None if found is None else (_to_flat(found[0], weight.shape, axis), found[1])


def _describe_grid(
    axis: int, integers: NDArray[np.int16], scales: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> PackedForm | None:
    form = _find_codebook(integers, mask)
    if form is None:
        return None
    dtype = np.int8 if form.table.min() >= -128 and form.table.max() <= 127 else np.int16
    return replace(form, kind="channel grid", table=form.table.astype(dtype), axis=axis, scales=scales)


def _with_zero(table: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return the table with zero behind the values of each row, for the places that the mask leaves out."""
    return table if mask is None else np.pad(table, ((0, 0), (0, 1)))


def _to_rows(weight: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return the channels as rows `(C, N / C)`."""
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)


def _to_flat(rows: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Return rows `(C, N / C)` in the order of the weight's elements `(N,)`."""
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    return np.moveaxis(rows.reshape(moved), 0, axis).reshape(-1)


def _count_bytes(count: int, bits: int) -> int:
    width = word_bits(bits)
    return -(-count // (width // bits)) * width // 8
