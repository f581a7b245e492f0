"""Checks of a parsed ONNX model that nobody vouches for, beyond what the onnx checker looks at."""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from onnx import defs

from toolchain.errors import ToolchainError, first_line, malformed
from toolchain.graph.shapes import infer_shapes
from toolchain.graph.view import ONNX_DOMAINS

# Largest tensor inside a model, and largest sum of its external data: what one protobuf message can hold.
_TENSOR_MAX_BYTES = 2**31 - 1
# Largest number of nodes once every model-local function is inlined. The largest published models have some 10^5.
_NODES_MAX = 1_000_000
# The keys that the ONNX specification knows for external data (docs/ExternalData.md).
_EXTERNAL_KEYS = {"location", "offset", "length", "checksum"}
# Operators that ONNX Runtime has although the ONNX standard does not.
_RUNTIME_DOMAINS = {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}


def iter_tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Yield every tensor inside an ONNX message, wherever it hides: subgraphs, functions, sparse tensors, training."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in value if field.is_repeated else (value,):
            if isinstance(child, onnx.TensorProto):
                yield child
            else:
                yield from iter_tensors(child)


def inline_external_data(model: onnx.ModelProto, path: Path, *, on_size: Callable[[int], None] = lambda _: None) -> int:
    """Move the external data of the model at `path` into it, in place, and return how many bytes that were.

    `on_size` is told the bytes of all external data before the first of them is read.

    Raises ToolchainError (exit 23) where a file lies outside of the model's folder, is a link, is shorter than the
    model says, or where all of it together reaches 2 GiB.
    """
    tensors = [tensor for tensor in iter_tensors(model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    places = [_locate(tensor, path) for tensor in tensors]
    total_bytes = sum(length for _, _, length in places)
    if total_bytes > _TENSOR_MAX_BYTES:
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


def check_model(model: onnx.ModelProto, where: str) -> None:
    """Check a model whose data is all inside it.

    Raises ToolchainError (exit 23): an operator set that is unknown or too new, a tensor of no known type, functions
    that call themselves or multiply, what the onnx checker finds, a tensor of known shape that reaches 2 GiB.
    """
    _check_opsets(model, where)
    _check_functions(model, where)
    for tensor in iter_tensors(model):
        if tensor.data_type == onnx.TensorProto.UNDEFINED or tensor.data_type not in onnx.TensorProto.DataType.values():
            raise malformed(
                "a tensor has no known type",
                where=f"{where}: tensor {tensor.name!r}",
                found=str(tensor.data_type),
                fix=f"upgrade onnx (here {onnx.__version__}), or export the model again with an older type",
            )
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise malformed(
            "the ONNX checker refuses the model",
            where=where,
            found=first_line(error),
            fix="export it again, and check the file with onnx.checker.check_model",
        ) from error
    _check_sizes(model, where)


def _check_opsets(model: onnx.ModelProto, where: str) -> None:
    newest = defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ONNX_DOMAINS and not 1 <= opset.version <= newest:
            raise malformed(
                "the model's opset is unknown",
                where=where,
                expected=f"1 to {newest}",
                found=str(opset.version),
                fix=f"upgrade onnx (here {onnx.__version__}), or export the model with an older opset",
            )
    local = {(function.domain, function.name) for function in model.functions}
    known = {schema.domain for schema in defs.get_all_schemas()} | _RUNTIME_DOMAINS | {"ai.onnx"}
    for node in iter_nodes(model):
        if node.domain not in known and (node.domain, node.op_type) not in local:
            raise malformed(
                "the model uses an operator of an unknown domain",
                where=f"{where}: node {node.name!r}",
                expected="operators of ONNX, of ONNX Runtime or of the model itself",
                found=f"{node.domain}.{node.op_type}",
                fix="export the model without it, or give the model a function of ONNX operators under that name",
            )


def iter_nodes(message: Any) -> Iterator[onnx.NodeProto]:
    """Yield every node of a model, graph, function or node, those of subgraphs and functions included."""
    if isinstance(message, onnx.ModelProto):
        yield from iter_nodes(message.graph)
        for function in message.functions:
            yield from iter_nodes(function)
        return
    for node in message.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from iter_nodes(attribute.g)
            for graph in attribute.graphs:
                yield from iter_nodes(graph)


def _check_functions(model: onnx.ModelProto, where: str) -> None:
    """Refuse functions that call themselves, or so many of each other that inlining would never end."""
    calls = {
        (function.domain, function.name): Counter((node.domain, node.op_type) for node in iter_nodes(function))
        for function in model.functions
    }
    sizes: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def count(key: tuple[str, str]) -> int:
        if key not in calls:
            return 1
        if key in open_calls:
            raise malformed(
                "a function of the model calls itself",
                where=where,
                found=".".join(key),
                fix="write that function without a call of itself, and export the model again",
            )
        if key not in sizes:
            open_calls.add(key)
            sizes[key] = sum(times * count(callee) for callee, times in calls[key].items())
            open_calls.remove(key)
        return sizes[key]

    total = sum(count((node.domain, node.op_type)) for node in iter_nodes(model.graph))
    if total > _NODES_MAX:
        raise malformed(
            "the model's functions multiply",
            where=where,
            expected=f"at most {_NODES_MAX} nodes",
            found=str(total),
            fix="export the model with fewer calls of functions in functions; do not use a file whose source you do not trust",
        )


def _check_sizes(model: onnx.ModelProto, where: str) -> None:
    """Refuse a model with a tensor whose shape is known and that no board could hold, such as an Expand to 10^12."""
    graph = infer_shapes(model)
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor_type = value.type.tensor_type
        # An axis of unknown length counts as 1: what is refused is too large for any batch.
        elements = math.prod(dim.dim_value for dim in tensor_type.shape.dim if dim.dim_value > 0)
        if elements > _TENSOR_MAX_BYTES:
            raise malformed(
                "a tensor of the model is too large",
                where=f"{where}: {value.name!r}",
                expected="less than 2 Gi elements",
                found=str(elements),
                fix="correct the shape that makes it, such as that of an Expand or a Tile, and export the model again",
            )
