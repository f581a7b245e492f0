"""Finds the arrays that have few different values, and writes them as the numbers of these (agent/measure/levels.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.levels import LEVELS_MAX, expand_levels
from toolchain.bundle.arrays import ArrayWriter

# Of pictures: grey and alpha, three colours, four. What has more axes of its own is no picture.
_CHANNELS_MAX = 4
_CHUNK_VALUES = 1 << 20


def compact_array(path: Path, levels_path: Path) -> bool:
    """Rewrite a .npy file (samples, *row) as numbers, with its levels beside it, where that is smaller; else leave it.

    Return whether it was. What is read back has the same bits, which is compared here, value by value.
    """
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.dtype.itemsize == 1 or array.size == 0:
        return False
    levels = _find_levels(array)
    if levels is None or array.nbytes <= array.size + levels.nbytes:
        return False
    axis = _find_axis(levels)
    is_repeated = axis is not None and all(_is_same_along(chunk, axis + 1) for chunk in _number_all(array, levels))
    numbers_path = path.with_suffix(".numbers")
    with ArrayWriter(numbers_path, len(array)) as writer:
        for chunk, numbers in zip(_read_chunks(array), _number_all(array, levels), strict=True):
            kept = np.take(numbers, [0], axis=axis + 1) if axis is not None and is_repeated else numbers
            if expand_levels(kept, levels).tobytes() != chunk.tobytes():
                raise RuntimeError(f"the levels of {path} do not give its values back")
            writer.add(kept)
        writer.finish()
    with ArrayWriter(levels_path, len(levels)) as writer:
        writer.add(levels)
        writer.finish()
    del array
    numbers_path.replace(path)
    return True


def _read_chunks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, _CHUNK_VALUES * len(array) // array.size)
    for start in range(0, len(array), step):
        yield np.ascontiguousarray(array[start : start + step])


def _view_bits(array: NDArray[Any]) -> NDArray[Any]:
    # Bits, not values: -0.0 is another level than 0.0, and a NaN is one.
    return array.view(f"u{array.dtype.itemsize}")


def _find_levels(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return the levels (*axes, count): of each channel where there are few, else of all; None where there are too many."""
    row = array.shape[1:]
    # By channel first: a grey picture that was repeated is found by that.
    axes = [axis for axis, size in enumerate(row) if 2 <= size <= _CHANNELS_MAX]
    open_axes: list[int | None] = [*axes, None]
    tables: dict[int | None, list[NDArray[Any]]] = {
        axis: [np.empty(0, f"u{array.dtype.itemsize}")] * (1 if axis is None else row[axis]) for axis in open_axes
    }
    for chunk in _read_chunks(array):
        bits = _view_bits(chunk)
        for axis in tuple(open_axes):
            parts = [bits] if axis is None else np.moveaxis(bits, axis + 1, 0)
            tables[axis] = [_add_values(table, part) for table, part in zip(tables[axis], parts, strict=True)]
            if max(map(len, tables[axis])) > LEVELS_MAX:
                open_axes.remove(axis)
        if not open_axes:
            return None
    return _arrange(tables[open_axes[0]], open_axes[0], array)


def _add_values(table: NDArray[Any], part: NDArray[Any]) -> NDArray[Any]:
    """Return the sorted table with the values of a part that it has not."""
    values = part.ravel()
    if len(table):
        # Most values are known: to look them up is many times faster than to sort them.
        near = table[np.minimum(np.searchsorted(table, values), len(table) - 1)]
        values = values[near != values]
    return np.union1d(table, values)


def _arrange(tables: list[NDArray[Any]], axis: int | None, array: NDArray[Any]) -> NDArray[Any]:
    """Return tables of bits as levels, each in the order of its values, and filled up with its greatest."""
    count = max(map(len, tables))
    rows = []
    for table in tables:
        values = table.view(array.dtype)
        rows.append(np.pad(values[np.lexsort((table, values))], (0, count - len(table)), mode="edge"))
    shape = [len(tables) if index == axis else 1 for index in range(array.ndim - 1)]
    return np.stack(rows).reshape(*shape, count)


def _find_axis(levels: NDArray[Any]) -> int | None:
    return next((axis for axis, size in enumerate(levels.shape[:-1]) if size > 1), None)


def _number_all(array: NDArray[Any], levels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the numbers of an array, chunk by chunk."""
    axis = _find_axis(levels)
    rows = [levels.ravel()] if axis is None else levels.reshape(levels.shape[axis], -1)
    lookups = [_make_lookup(row) for row in rows]
    for chunk in _read_chunks(array):
        bits = _view_bits(chunk)
        if axis is None:
            yield _look_up(lookups[0], bits)
        else:
            parts = np.moveaxis(bits, axis + 1, 0)
            numbers = [_look_up(lookup, part) for lookup, part in zip(lookups, parts, strict=True)]
            yield np.stack(numbers, axis=axis + 1)


def _make_lookup(row: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the bits of levels, sorted, and the number of each."""
    bits, numbers = np.unique(_view_bits(np.ascontiguousarray(row)), return_index=True)
    return bits, numbers.astype(np.uint8)


def _look_up(lookup: tuple[NDArray[Any], NDArray[np.uint8]], bits: NDArray[Any]) -> NDArray[np.uint8]:
    known, numbers = lookup
    return numbers[np.searchsorted(known, bits)]


def _is_same_along(numbers: NDArray[Any], axis: int) -> bool:
    return bool((numbers == np.take(numbers, [0], axis=axis)).all())
