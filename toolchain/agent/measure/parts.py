"""What a metric or a decoder is given, read part by part: arrays and ragged rows of the shape and type that it needs."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .targets import Ragged, TargetArray

INTEGERS, NUMBERS = "iu", "iuf"
"""Kinds of types, as numpy writes them; bool is none of them."""
Shape = Tuple[Optional[int], ...]
"""None is any length."""


def describe_rows(rows: TargetArray) -> str:
    """Return the type and shape of rows, for a message."""
    if isinstance(rows, Ragged):
        return f"{len(rows.offsets) - 1} samples with rows of another number, {rows.values.dtype} of shape {rows.values.shape}"
    return f"{rows.dtype} of shape {rows.shape}"


def refuse_part(name: str, where: str, *, expected: str, found: str, fix: str = "") -> ToolchainError:
    """Return the error (exit 23) of a member, by its name, that cannot read a part, by its place."""
    return ToolchainError(
        ExitCode.MALFORMED,
        f"{name} cannot read {where}",
        where=where,
        expected=expected,
        found=found,
        fix=fix or "choose the decoder and the metric of the task, or correct the data",
    )


def expect_array(name: str, rows: TargetArray, where: str, shape: Shape, kinds: str) -> NDArray[Any]:
    """Return an array of this shape and kind of type; raises ToolchainError (exit 23) for any other."""
    fits = not isinstance(rows, Ragged) and rows.dtype.kind in kinds and _has_shape(rows.shape, shape)
    if isinstance(rows, Ragged) or not fits:
        expected = f"{_write_kinds(kinds)} of shape {_write_shape(shape)}"
        raise refuse_part(name, where, expected=expected, found=describe_rows(rows))
    return rows


def expect_ragged(name: str, rows: TargetArray, where: str, shape: Shape, kinds: str) -> Ragged:
    """Return ragged rows whose values have this shape and kind of type; raises ToolchainError (exit 23) for any other."""
    fits = isinstance(rows, Ragged) and rows.values.dtype.kind in kinds and _has_shape(rows.values.shape, shape)
    if not isinstance(rows, Ragged) or not fits:
        expected = f"ragged {_write_kinds(kinds)}, values of shape {_write_shape(shape)}"
        raise refuse_part(name, where, expected=expected, found=describe_rows(rows))
    return rows


def expect_equal_rows(name: str, first: Ragged, other: Ragged, where: str) -> None:
    """Refuse (exit 23) ragged rows of which a sample has another number than of the first."""
    if not np.array_equal(first.offsets, other.offsets):
        raise refuse_part(
            name, where, expected=f"as many rows in each of {len(first)} samples", found=describe_rows(other)
        )


def expect_samples(name: str, rows: TargetArray, samples: int, where: str) -> None:
    """Refuse (exit 23) rows of another number of samples."""
    if len(rows) != samples:
        raise refuse_part(name, where, expected=f"{samples} samples", found=f"{len(rows)}")


def make_ragged(rows: TargetArray) -> Ragged:
    """Return an array (n, rows, ...) as ragged rows."""
    if isinstance(rows, Ragged):
        return rows
    count, length = rows.shape[:2]
    return Ragged(
        values=rows.reshape(count * length, *rows.shape[2:]), offsets=np.arange(count + 1, dtype=np.int64) * length
    )


def _has_shape(found: Tuple[int, ...], shape: Shape) -> bool:
    pairs = zip(shape, found)  # noqa: B905 - Python 3.8 has no strict
    return len(found) == len(shape) and all(want in (None, have) for want, have in pairs)


def _write_shape(shape: Shape) -> str:
    return f"({', '.join('any' if length is None else str(length) for length in shape)})"


def _write_kinds(kinds: str) -> str:
    words = {"b": "truth values", "iu": "whole numbers", "f": "floats", "iuf": "numbers", "biu": "whole numbers"}
    return words.get(kinds, "numbers")
