"""ONNX files: reading one that nobody vouches for, and writing one so that it is whole or not there."""

from __future__ import annotations

import stat
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError

from toolchain.errors import ExitCode, ToolchainError, first_line, malformed, usage
from toolchain.graph.external_data import inline_external_data
from toolchain.graph.safety import check_file, check_model
from toolchain.run.atomic import write_atomically
from toolchain.run.confine import inside

# A protobuf message, and so an ONNX model with its weights inside, is smaller than 2 GiB (protobuf's encoding guide).
SIZE_MAX_BYTES = 2**31 - 1

# What parsing may take: 100,000 nodes in 2.4 MB take 34 MB, raw weights as many bytes as they have in the file, numbers that
# are written one by one some ten times as many. Empty messages, of two bytes each, would take seventy times as many.
_PARSING_BASE_BYTES = 256 * 2**20
_PARSING_PER_BYTE = 8

# The first bytes of files that are mistaken for ONNX files most often.
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive, as torch.save and torch.jit.save write it",
    b"\x80": "a Python pickle",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    b"<": "an HTML or XML page",
    b"\x7fELF": "a program",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
}


def read_onnx(path: Path, *, trusted: bool = False) -> onnx.ModelProto:
    """Return the model in an ONNX file, its external data inlined.

    A file that is not trusted is checked, and read in a confined process alone (toolchain/run/confine), because a parser
    that is attacked must not take the command with it. `trusted` is for files that we wrote ourselves.

    Raises ToolchainError: exit 2 where there is no such file; exit 23 where it is not an ONNX file, truncated,
    malformed, too new, larger than 2 GiB, or reaches outside of its own folder.
    """
    if not (trusted or inside.is_confined()):
        message = "a file that nobody vouches for is read in a confined process"
        raise RuntimeError(message)
    with inside.step("reading the file"):
        model = _parse(_read_bytes(path), path)
        if not trusted:
            check_file(model, str(path))
        inline_external_data(model, path, on_size=lambda size_bytes: inside.grow_limits(model_bytes=size_bytes))
    if not trusted:
        with inside.step("checking the model"):
            check_model(model, str(path))
    return model


def write_onnx(model: onnx.ModelProto, path: Path, *, step: str) -> None:
    """Write the model so that `path` holds the whole of it or what it held before; equal models give equal bytes.

    Every ONNX file that others will read is written here, because here it is checked: what a runtime makes of two
    tensors of one name, it does not say. Operators of domains that the checker does not know pass.

    Raises ToolchainError: exit 18 that names the step which made an invalid graph; exit 14 where the disk is full or
    unwritable; exit 2 where the model reaches 2 GiB.
    """
    try:
        data = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise usage(
            "the model is too large for one ONNX file",
            where=str(path),
            expected="less than 2 GiB",
            found=str(error),
            fix="build a smaller model: fewer layers or channels, or prune it in the recipe ([[compress]])",
        ) from error
    try:
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ToolchainError(
            ExitCode.PARITY,
            f"{step} made an invalid ONNX graph, which is our fault",
            where=str(path),
            expected="a graph that the ONNX checker takes",
            found=first_line(error),
            fix="report it with the model",
        ) from error
    write_atomically(path, data)


def _read_bytes(path: Path) -> bytes:
    """Return the file's bytes after checks that need no parser."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise usage(
                "an ONNX model is a file",
                where=str(path),
                found="something that is not a regular file",
                fix="name the .onnx file itself, not its folder",
            )
        if status.st_size > SIZE_MAX_BYTES:
            raise malformed(
                "not an ONNX file",
                where=str(path),
                expected="less than 2 GiB",
                found=f"{status.st_size} bytes",
                fix="name the .onnx file; where it is one, export a smaller model",
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise usage(f"the ONNX file {path} does not exist", fix="check the path of the model") from error
    except OSError as error:
        raise usage(
            f"cannot read the ONNX file {path}",
            found=error.strerror,
            fix="check the path, and that you may read it (ls -l); else copy the file again",
        ) from error
    for start, kind in _OTHER_FORMATS.items():
        if data.startswith(start):
            raise malformed(
                "not an ONNX file", where=str(path), found=kind, fix="export the model to ONNX, or give its recipe"
            )
    return data


def _parse(data: bytes, path: Path) -> onnx.ModelProto:
    try:
        with inside.limit_memory(_PARSING_BASE_BYTES + _PARSING_PER_BYTE * len(data)):
            model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise malformed(
            "not an ONNX file, or a truncated one",
            where=str(path),
            found=f"{len(data)} bytes that do not parse, or not in the memory that they may take",
            fix="copy the file again and compare its size",
        ) from error
    if not model.HasField("ir_version") or not model.HasField("graph"):
        raise malformed(
            "not an ONNX file",
            where=str(path),
            expected="an IR version and a graph",
            found="an empty file" if not data else "neither, or only one",
            fix="export the model again, or copy the file again and compare its size",
        )
    return model
