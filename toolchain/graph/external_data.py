"""Data that an ONNX model keeps in other files: found, checked, and moved into the model."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import onnx

from toolchain.errors import ToolchainError, malformed
from toolchain.graph.walk import iter_tensors

# Largest sum of external data: what one protobuf message can hold.
_TOTAL_MAX_BYTES = 2**31 - 1
# The keys that the ONNX specification knows for external data (docs/ExternalData.md).
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}


def inline_external_data(model: onnx.ModelProto, path: Path, *, on_size: Callable[[int], None] = lambda _: None) -> int:
    """Move the external data of the model at `path` into it, in place, and return how many bytes that were.

    `on_size` is told the bytes of all external data before the first of them is read.

    Raises ToolchainError (exit 23) where a file lies outside of the model's folder, is a link, is shorter than the
    model says, or where all of it together reaches 2 GiB.
    """
    tensors = [tensor for tensor in iter_tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    places = [_locate(tensor, path) for tensor in tensors]
    total_bytes = sum(length for _, _, length in places)
    if total_bytes > _TOTAL_MAX_BYTES:
        raise malformed(
            "the model's external data is too large",
            where=str(path),
            expected="< 2 GiB",
            found=f"{total_bytes} bytes",
            fix="export a smaller model: fewer layers or channels, or weights in float16",
        )
    on_size(total_bytes)
    for tensor, (file, offset, length) in zip(tensors, places, strict=True):
        tensor.raw_data = _read_slice(file, offset, length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return total_bytes


def _locate(tensor: onnx.TensorProto, path: Path) -> tuple[Path, int, int]:
    """Return the file, offset and length of a tensor's external data."""
    keys = {entry.key: entry.value for entry in tensor.external_data}

    def refuse(expected: str, found: str) -> ToolchainError:
        return malformed(
            "the model's external data is unsafe or broken",
            where=f"{path}: tensor {tensor.name!r}",
            expected=expected,
            found=found,
            fix="save the model again with its data beside it, or inside it",
        )

    if unknown := sorted(keys.keys() - _EXTERNAL_KEYS):
        raise refuse(f"the keys {', '.join(sorted(_EXTERNAL_KEYS))}", repr(unknown[0]))
    location = keys.get("location", "")
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or "\\" in location or ":" in parts[0] or ".." in parts:
        raise refuse("a path inside the model's folder", repr(location))
    file = path.parent.joinpath(*parts)
    expected_file = path.parent.resolve().joinpath(*parts)
    try:
        if file.resolve(strict=True) != expected_file:
            raise refuse("a file that is no link", repr(location))
        status = file.stat()
    except FileNotFoundError as error:
        raise refuse("the file to be there", f"no {location!r}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise refuse("a readable file", f"{location!r}: {error}") from error
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise refuse("a regular file with one name", f"{location!r}, a hard link or no regular file")
    try:
        offset = int(keys.get("offset", "0"))
        length = int(keys.get("length", str(status.st_size - offset)))
    except ValueError as error:
        raise refuse("offset and length in bytes", str(error)) from error
    if offset < 0 or length < 0 or offset + length > status.st_size:
        raise refuse(f"a range inside the file's {status.st_size} bytes", f"offset {offset}, length {length}")
    return file, offset, length


def _read_slice(file: Path, offset: int, length: int) -> bytes:
    """Return a slice of a file that was checked before; one that was swapped for a link since then is an error."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            stream.seek(offset)
            data = stream.read(length)
    except OSError as error:
        raise malformed(
            "cannot read the model's external data",
            where=str(file),
            found=error.strerror,
            fix="check that you may read it (ls -l), or copy it again",
        ) from error
    if len(data) != length:
        raise malformed(
            "the model's external data changed while it was read",
            where=str(file),
            fix="wait until what writes the file has ended, and start again",
        )
    return data
