"""ONNX files: reading one that nobody vouches for, and writing one so that it is whole or not there."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, EncodeError

from toolchain.errors import ExitCode, ToolchainError, first_line, malformed, usage
from toolchain.graph.external_data import inline_external_data
from toolchain.graph.safety import check_file, check_model
from toolchain.run.atomic import write_atomically

# A protobuf message, and so an ONNX model with its weights inside, is smaller than 2 GiB (protobuf's encoding guide).
SIZE_MAX_BYTES = 2**31 - 1

# What the child process may take. Parsing, the checker and shape inference peak at 6.2 bytes a byte of file
# (measured on a 69 MB model); Python and onnx need 0.12 GB of address space before the first byte.
_MEMORY_PER_BYTE = 8
_MEMORY_BASE_BYTES = 2**30
# A 69 MB model takes 0.4 s; files of up to 2 GiB must pass on a slow machine too.
_CPU_LIMIT_S = 120
_WALL_LIMIT_S = 300

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

    A file that is not trusted is first parsed and checked in a child process with limits on memory and time, because
    a parser that is attacked must not take this process with it. `trusted` is for files that we wrote ourselves.

    Raises ToolchainError: exit 2 where there is no such file; exit 23 where it is not an ONNX file, truncated,
    malformed, too new, larger than 2 GiB, or reaches outside of its own folder.
    """
    data = _read_bytes(path)
    if not trusted:
        _check_in_child(path, data)
    model = _parse(data, path)
    inline_external_data(model, path)
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
        model: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise malformed(
            "not an ONNX file, or a truncated one",
            where=str(path),
            found=f"{len(data)} bytes that do not parse, or not in {_MEMORY_PER_BYTE} bytes of memory each",
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


def _check_in_child(path: Path, data: bytes) -> None:
    """Parse and check the file's bytes in a child process under limits; raise what the child found."""
    # -P: the folder that the command was started in is no place to import from.
    command = [sys.executable, "-P", "-m", "toolchain.graph.file", str(path)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",  # each of its threads would reserve address space
    }
    try:
        child = subprocess.run(
            command, input=data, capture_output=True, check=False, timeout=_WALL_LIMIT_S, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise malformed(
            "the ONNX file takes too long to parse",
            where=str(path),
            expected=f"at most {_WALL_LIMIT_S} s",
            fix="stop what else runs on this machine and try again; do not use a file whose source you do not trust",
        ) from error
    if child.stdout:
        found = json.loads(child.stdout)
        raise ToolchainError(
            ExitCode(found["code"]),
            found["what"],
            where=found["where"],
            expected=found["expected"],
            found=found["found"],
            fix=found["fix"],
        )
    if child.returncode == 0:
        return
    reason = f"exit code {child.returncode}"
    if child.returncode < 0:
        reason = signal.Signals(-child.returncode).name
    elif b"MemoryError" in child.stderr or b"bad_alloc" in child.stderr:
        reason = "out of memory"
    raise malformed(
        "the ONNX file cannot be parsed safely",
        where=str(path),
        expected=f"at most {_CPU_LIMIT_S} s of CPU and {_MEMORY_PER_BYTE} bytes of memory a byte of file",
        found=f"a parser that ended with {reason}",
        fix="export the model again; do not use a file whose source you do not trust",
    )


def _limit_memory(file_bytes: int) -> None:
    """Limit this process's address space to what a well-formed model of that size needs."""
    limit_bytes = _MEMORY_BASE_BYTES + _MEMORY_PER_BYTE * file_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit_bytes = min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, hard))


def _run_child(path: Path) -> None:
    """Check the model that comes in on stdin; print the ToolchainError as JSON where there is one."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_LIMIT_S, _CPU_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    data = sys.stdin.buffer.read()
    _limit_memory(len(data))
    try:
        model = _parse(data, path)
        check_file(model, str(path))
        external_bytes = inline_external_data(model, path, on_size=lambda size: _limit_memory(len(data) + size))
        _limit_memory(len(data) + external_bytes)
        check_model(model, str(path))
    except ToolchainError as error:
        sys.stdout.write(json.dumps(error.to_dict()))


if __name__ == "__main__":
    _run_child(Path(sys.argv[1]))
