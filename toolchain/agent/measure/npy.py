"""The header of .npy files, read as data: numpy reads it as Python, which takes anything that Python's parser takes.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1.0 to 3.0.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Dict, Tuple

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"\x93NUMPY"
# By major version: the form of the number that says how long the header is, and the header's encoding.
_VERSIONS = {1: ("<H", "latin1"), 2: ("<I", "latin1"), 3: ("<I", "utf-8")}
# numpy's own limit is 10,000, for records of many fields; of plain arrays 128 are written, and 64 axes take 1,400.
_HEADER_MAX = 4096
# As many as every numpy takes; numpy 2 takes 64.
_AXES_MAX = 32
_BYTES_MAX = 2**62

# 'key': 'text' or True or (1, 2), and the comma after it; Python 2 wrote (1L, 2L).
_ITEM = re.compile(
    r"""\s*(['"])(\w{1,20})\1\s*:\s*(?:(['"])([^'"\\]*)\3|(True|False)|\(([\d\s,L]*)\))\s*(?:,|(?=\}))"""
)
_TYPE = re.compile(r"[<>|=]?[?a-zA-Z]\d{0,9}(?:\[\d{0,9}\w{1,10}\])?")
_SIZE = re.compile(r"\d{1,19}L?")


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file declares."""

    dtype: np.dtype[Any]
    shape: Tuple[int, ...]
    is_fortran: bool
    """Whether the first axis is the one whose neighbours lie side by side."""
    size_bytes: int
    """Of the header: where the array begins."""
    data_bytes: int
    """Of the array."""


def read_header(file: IO[bytes]) -> NpyHeader:
    """Return the header of a file, which stands where the array begins then.

    Raises ValueError, with what is wrong: no .npy file, a header that is none, objects, which are pickles, records, an
    array that no computer holds.
    """
    start = file.read(8)
    if len(start) < 8 or start[:6] != _MAGIC or start[6] not in _VERSIONS:
        raise ValueError(f"it begins with {start!r}, and not as a .npy file of version 1 to 3")
    form, encoding = _VERSIONS[start[6]]
    length = file.read(struct.calcsize(form))
    if len(length) < struct.calcsize(form):
        raise ValueError("it ends within the header")
    (size,) = struct.unpack(form, length)
    if size > _HEADER_MAX:
        raise ValueError(f"a header of {size} bytes; records are not read")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("it ends within the header")
    dtype, shape, is_fortran = _parse(text.decode(encoding))
    cells, declared = 1, 1
    for count in shape:
        cells *= count
        declared *= max(count, 1)  # numpy counts so: beside an axis of 0, the others must fit too
    if len(shape) > _AXES_MAX or declared * dtype.itemsize > _BYTES_MAX:
        raise ValueError(f"an array of the shape {str(shape)[:80]}, which no computer holds")
    return NpyHeader(
        dtype=dtype,
        shape=shape,
        is_fortran=is_fortran,
        size_bytes=len(start) + len(length) + size,
        data_bytes=cells * dtype.itemsize,
    )


def map_npy(path: Path) -> NDArray[Any]:
    """Return the array of a file, mapped into memory; raises ValueError as read_header does, and OSError."""
    with path.open("rb") as file:
        header = read_header(file)
        found, declared = os.fstat(file.fileno()).st_size, header.size_bytes + header.data_bytes
        if found != declared:
            raise ValueError(f"it has {found} bytes, and its header declares {declared}")
        return np.memmap(
            file,
            dtype=header.dtype,
            mode="r",
            offset=header.size_bytes,
            shape=header.shape,
            order="F" if header.is_fortran else "C",
        )


def _parse(text: str) -> Tuple[np.dtype[Any], Tuple[int, ...], bool]:
    found: Dict[str, Tuple[str, str, str]] = {}
    text = text.strip()
    position = 1
    while text[:1] == "{" and text[position:].strip() != "}":
        item = _ITEM.match(text, position)
        if item is None or item[2] in found:
            break
        found[item[2]] = (item[4] or "", item[5] or "", item[6] or "")
        position = item.end()
    else:
        if text[:1] == "{" and found.keys() == {"descr", "fortran_order", "shape"}:
            return _read_type(found["descr"][0]), _read_shape(found["shape"][2]), found["fortran_order"][1] == "True"
    raise ValueError(f"a header that is no description of a plain array: {text[:80]!r}")


def _read_type(text: str) -> np.dtype[Any]:
    if "O" in text:
        raise ValueError("it holds Python objects, which are refused: reading them executes code")
    try:
        dtype = np.dtype(text) if _TYPE.fullmatch(text) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.itemsize == 0 or dtype.hasobject:
        raise ValueError(f"an array of the type {text[:80]!r}, and none of numbers")
    return dtype


def _read_shape(text: str) -> Tuple[int, ...]:
    sizes = [size.strip() for size in text.split(",")]
    if sizes[-1] == "":
        sizes.pop()
    if not all(map(_SIZE.fullmatch, sizes)):
        raise ValueError(f"a shape that is none: ({text[:80]})")
    return tuple(int(size.rstrip("L")) for size in sizes)
