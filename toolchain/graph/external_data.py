"""Data that an ONNX model keeps in other files: found, checked, and moved into the model."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx

from toolchain.errors import ToolchainError, malformed
from toolchain.graph.safety.tensors import TENSORS_MAX_BYTES, measure_declared
from toolchain.graph.walk import iter_tensors

# The keys that the ONNX specification knows for external data (docs/ExternalData.md).
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}
# A number as that page means it. int() would take signs, spaces, underscores and the digits of other scripts too, and
# 2^63 has 19 digits.
_NUMBER = re.compile("[0-9]{1,19}")
# Weights hold zeros, and some disks leave those out. A file of which more was never written than was is no weights.
_HOLES_MIN_BYTES = 16 * 2**20


@dataclass(frozen=True, order=True)
class _Place:
    """Where the data of one tensor lies."""

    file: Path
    offset: int
    length: int
    tensor: str


def inline_external_data(model: onnx.ModelProto, path: Path, *, on_size: Callable[[int], None] = lambda _: None) -> int:
    """Move the external data of the model at `path` into it, in place, and return how many bytes that were.

    What a tensor declares by type and shape is what is read. `on_size` is told the bytes of all external data before the
    first of them is read.

    Raises ToolchainError (exit 23) where a file lies outside of the model's folder, is a link, is shorter than the
    model says, or mostly a hole; where two tensors share bytes; or where all of it together reaches 2 GiB.
    """
    tensors = [tensor for tensor in iter_tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    total_bytes = sum(map(measure_declared, tensors))
    if total_bytes > TENSORS_MAX_BYTES:
        raise malformed(
            "the model's external data is too large",
            where=str(path),
            expected="< 2 GiB",
            found=f"{total_bytes} bytes",
            fix="export a smaller model: fewer layers or channels, or weights in float16",
        )
    places = [_locate(tensor, path) for tensor in tensors]
    _refuse_overlaps(places, path)
    _refuse_holes(places, path)
    on_size(total_bytes)
    for tensor, place in zip(tensors, places, strict=True):
        tensor.raw_data = _read_slice(place)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return total_bytes


def _locate(tensor: onnx.TensorProto, path: Path) -> _Place:
    """Return the file, offset and length of a tensor's external data."""
    keys = _read_keys(tensor, path)
    file, file_bytes = _find_file(keys.get("location", ""), tensor, path)
    length = measure_declared(tensor)
    offset, stated = (
        _read_number(keys.get(key, default), key, tensor, path)
        for key, default in (("offset", "0"), ("length", str(length)))
    )
    if stated != length:
        raise _refuse(tensor, path, f"{length} bytes, of its type and shape", f"length {stated}")
    if offset + length > file_bytes:
        raise _refuse(
            tensor, path, f"a range inside the file's {file_bytes} bytes", f"offset {offset}, length {length}"
        )
    return _Place(file, offset, length, tensor.name)


def _read_keys(tensor: onnx.TensorProto, path: Path) -> dict[str, str]:
    keys = {entry.key: entry.value for entry in tensor.external_data}
    if len(keys) != len(tensor.external_data):
        raise _refuse(tensor, path, "each key once", ", ".join(entry.key for entry in tensor.external_data))
    if unknown := sorted(keys.keys() - _EXTERNAL_KEYS):
        raise _refuse(tensor, path, f"the keys {', '.join(sorted(_EXTERNAL_KEYS))}", repr(unknown[0]))
    if tensor.data_type == onnx.TensorProto.STRING:
        raise _refuse(tensor, path, "numbers: strings have no raw form", "strings")
    return keys


def _find_file(location: str, tensor: onnx.TensorProto, path: Path) -> tuple[Path, int]:
    """Return the file that a location names, and its size in bytes."""
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or "\\" in location or ":" in parts[0] or ".." in parts:
        raise _refuse(tensor, path, "a path inside the model's folder", repr(location))
    if "*" in location or not location.isprintable():  # ONNX Runtime reads memory at */_ORT_MEM_ADDR_/*
        raise _refuse(tensor, path, "a file name of printed letters, without *", repr(location))
    folder = path.parent.resolve()
    file = folder.joinpath(*parts)
    try:
        if file.resolve(strict=True) != file:
            raise _refuse(tensor, path, "a file that is no link", repr(location))
        status = file.stat()
    except FileNotFoundError as error:
        raise _refuse(tensor, path, "the file to be there", f"no {location!r}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise _refuse(tensor, path, "a readable file", f"{location!r}: {error}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise _refuse(tensor, path, "a regular file with one name", f"{location!r}, a hard link or no regular file")
    if file == folder / path.name:
        raise _refuse(tensor, path, "a file beside the model", "the model itself")
    return file, status.st_size


def _read_number(text: str, key: str, tensor: onnx.TensorProto, path: Path) -> int:
    if not _NUMBER.fullmatch(text):
        raise _refuse(tensor, path, f"{key} in bytes: digits", repr(text[:40]))
    return int(text)


def _refuse(tensor: onnx.TensorProto, path: Path, expected: str, found: str) -> ToolchainError:
    return malformed(
        "the model's external data is unsafe or broken",
        where=f"{path}: tensor {tensor.name!r}",
        expected=expected,
        found=found,
        fix="save the model again with its data beside it, or inside it",
    )


def _refuse_overlaps(places: Sequence[_Place], path: Path) -> None:
    """Refuse tensors that share bytes: a small file would otherwise be read as often as a model likes."""
    ordered = sorted(place for place in places if place.length)
    for first, second in itertools.pairwise(ordered):
        if first.file == second.file and second.offset < first.offset + first.length:
            raise malformed(
                "tensors of the model share external data",
                where=f"{path}: tensors {first.tensor!r} and {second.tensor!r}",
                expected="bytes of its own for each tensor",
                found=f"both from {second.offset} in {first.file.name!r}",
                fix="save the model again; one tensor that several nodes read need not be there twice",
            )


def _refuse_holes(places: Sequence[_Place], path: Path) -> None:
    """Refuse data of which more was never written than was: a hole of 2 GiB takes no place until it is read."""
    total_bytes = sum(place.length for place in places)
    if total_bytes <= _HOLES_MIN_BYTES:
        return
    written_bytes = sum(map(_count_written, places))
    if written_bytes < total_bytes / 2:
        raise malformed(
            "the model's external data is mostly a hole",
            where=str(path),
            expected=f"{total_bytes} bytes that were written",
            found=f"{written_bytes} of them",
            fix="copy the whole file again; where it is meant to be zeros, with cp --sparse=never",
        )


def _count_written(place: _Place) -> int:
    """Return how many bytes of a slice the file system keeps; all of them where it does not say."""
    with _open(place.file) as descriptor:
        return sum(
            min(stop, place.offset + place.length) - max(start, place.offset)
            for start, stop in _iter_written(descriptor, place.offset, place.offset + place.length)
        )


def _iter_written(descriptor: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a file between two places that are no hole (lseek(2), SEEK_DATA)."""
    at = start
    while at < stop:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        end = os.lseek(descriptor, at, os.SEEK_HOLE)
        if at < stop:
            yield at, end
        at = end


@contextmanager
def _open(file: Path) -> Iterator[int]:
    """Open a file for its descriptor; it follows no link and waits for nobody."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _explain_unreadable(file, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_slice(place: _Place) -> bytes:
    """Return a slice of a file that was checked before; one that was swapped for a link since then is an error."""
    with _open(place.file) as descriptor:
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                stream.seek(place.offset)
                data = stream.read(place.length)
        except OSError as error:
            raise _explain_unreadable(place.file, error) from error
    if len(data) != place.length:
        raise malformed(
            "the model's external data changed while it was read",
            where=str(place.file),
            fix="wait until what writes the file has ended, and start again",
        )
    return data


def _explain_unreadable(file: Path, error: OSError) -> ToolchainError:
    return malformed(
        "cannot read the model's external data",
        where=str(file),
        found=error.strerror,
        fix="check that you may read it (ls -l), or copy it again",
    )
