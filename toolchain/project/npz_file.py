"""The arrays in .npz files that users hand in: plain ones alone, and no more than the file is worth.

An .npz file is a zip of .npy files. Numbers that a member declares are believed only where they fit the file's own size.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.npy import NpyHeader, read_header
from toolchain.errors import malformed, missing
from toolchain.project.stored_rows import StoredRows
from toolchain.run.regular_file import open_regular

_SUFFIX = ".npy"
_NPY_START = b"\x93NUMPY"
# Read at once, such as the list of members: 46 bytes and a name for each.
_PIECE_MAX = 4 << 20
_MEMBERS_MAX = 4096
# A zip's local header without the name (APPNOTE.TXT 4.3.7).
_LOCAL_BYTES = 30
_LOCAL_LENGTHS = 26  # of the name, and of what else stands there
# Smaller ones are read at once: what is trained on is taken row by row, in any order.
_STORED_MIN = 32 << 20
# Zeros shrink a thousandfold: 7 MiB declared 7.5 GiB. Normalized pictures of Fashion-MNIST, a third of which is one value,
# shrink by 9; what shrinks more is small, or can be stored as it is, which has no limit.
_UNPACKED_MAX = 256 << 20
_RATIO_MAX = 20
_IS_ENCRYPTED = 1


def list_names(path: Path) -> list[str]:
    """Return the names of the arrays in a file; raises ToolchainError as read_arrays does."""
    with _open_archive(path) as archive:
        return [info.filename.removesuffix(_SUFFIX) for info in archive.infolist()]


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name, in its order.

    Raises ToolchainError: no such file (exit 3), one that is corrupt or unsafe, or that unpacks to too much (exit 23).
    """
    with _open_archive(path) as archive:
        return {info.filename.removesuffix(_SUFFIX): _read_member(archive, info) for info in archive.infolist()}


def open_arrays(path: Path) -> dict[str, NDArray[Any] | StoredRows]:
    """Return the arrays of a file as read_arrays does; large ones, where they are not compressed, stay in the file.

    All of it is read once, for the checksums.
    """
    with _open_archive(path) as archive:
        return {
            info.filename.removesuffix(_SUFFIX): _open_member(archive, info, path)
            if info.compress_type == zipfile.ZIP_STORED and info.file_size >= _STORED_MIN
            else _read_member(archive, info)
            for info in archive.infolist()
        }


@contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a file whose members can be read one after another; what goes wrong with it is exit 23."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(cast("IO[bytes]", _Pieces(file))) as archive:
            _check_members(archive, path.stat().st_size)
            yield archive
    except FileNotFoundError as error:
        raise missing(f"there is no file {path}", fix="check the path, or write the file with numpy.savez") from error
    # RuntimeError: an encrypted member, or an unknown compression. The others: what zipfile and zlib raise for broken ones.
    except (
        ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, MemoryError,
    ) as error:  # fmt: skip
        raise malformed(
            "the file is corrupt or unsafe",
            where=str(path),
            expected="an .npz file of plain arrays, as numpy.savez writes it",
            found=_describe(error, path),
            fix="write plain arrays of numbers with numpy.savez, or copy the file again",
        ) from error


def _describe(error: BaseException, path: Path) -> str:
    if isinstance(error, zipfile.BadZipFile):
        with open_regular(path) as file:
            if file.read(len(_NPY_START)) == _NPY_START:
                return "one bare array, as numpy.save writes it"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


class _Pieces:
    """A file of which nothing is read at once that is larger than the list of a few thousand members."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable, self.fileno = file.seek, file.tell, file.seekable, file.fileno
        self._read = file.read

    def read(self, size: int = -1) -> bytes:
        content = self._read(size if 0 <= size <= _PIECE_MAX else _PIECE_MAX + 1)
        if len(content) > _PIECE_MAX:
            raise zipfile.BadZipFile(f"a list of members of more than {_PIECE_MAX:,} bytes")
        return content


def _check_members(archive: zipfile.ZipFile, file_bytes: int) -> None:
    """Refuse, by ValueError, members that share bytes or a name, that are no arrays by name, or unpack to too much."""
    members = archive.infolist()
    if len(members) > _MEMBERS_MAX:
        raise ValueError(f"{len(members):,} members; at most {_MEMBERS_MAX:,} are read")
    names: set[str] = set()
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if (problem := _find_problem(info)) is not None:
            raise ValueError(f"the member {info.filename[:80]!r}, {problem}")
        if info.header_offset < end or info.filename in names:
            raise ValueError(f"the member {info.filename[:80]!r}, which shares its name or bytes with another")
        names.add(info.filename)
        end = info.header_offset + _LOCAL_BYTES + len(info.filename) + info.compress_size
    if end > file_bytes:
        raise ValueError("members that lie beyond the end of the file")
    unpacked = sum(info.file_size for info in members)
    if unpacked > max(_UNPACKED_MAX, _RATIO_MAX * file_bytes):
        raise ValueError(
            f"{unpacked:,} bytes in a file of {file_bytes:,}; more than {_RATIO_MAX} times as many are read of "
            "numpy.savez alone, which does not compress"
        )


def _find_problem(info: zipfile.ZipInfo) -> str | None:
    """Return what is wrong with a member by itself."""
    if not info.filename.endswith(_SUFFIX) or not info.filename.isprintable():
        return "which is no array by its name"
    if info.flag_bits & _IS_ENCRYPTED:
        return "which is encrypted"
    if info.compress_type == zipfile.ZIP_STORED:
        return None if info.file_size == info.compress_size else "whose sizes contradict each other"
    return None if info.compress_type == zipfile.ZIP_DEFLATED else "which is compressed in an unusual way"


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as file:
        return _fill_array(_read_header(info, file), file)


def _read_header(info: zipfile.ZipInfo, file: IO[bytes]) -> NpyHeader:
    try:
        header = read_header(file)
    except ValueError as error:
        raise ValueError(f"{info.filename[:80]}: {error}") from error
    declared = header.size_bytes + header.data_bytes
    if declared != info.file_size:
        raise ValueError(f"{info.filename[:80]}: {info.file_size:,} bytes, and its header declares {declared:,}")
    return header


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> NDArray[Any] | StoredRows:
    """Return a member's array that stays in the file, where its rows lie one behind the other."""
    with archive.open(info) as member:
        header = _read_header(info, member)
        if header.is_fortran or not header.shape or 0 in header.shape:
            return _fill_array(header, member)
        while member.read(_PIECE_MAX):  # to the end, where its checksum is compared
            pass
    descriptor = cast("_Pieces", archive.fp).fileno()
    file = os.fdopen(os.dup(descriptor), "rb")
    try:
        # As zipfile does: the local header may have more or less behind it than the list of members says.
        local = os.pread(descriptor, _LOCAL_BYTES, info.header_offset)
        behind = sum(struct.unpack("<HH", local[_LOCAL_LENGTHS:]))
        offset = info.header_offset + _LOCAL_BYTES + behind + header.size_bytes
        return StoredRows(file, path, offset=offset, dtype=header.dtype, shape=header.shape)
    except BaseException:
        file.close()
        raise


def _fill_array(header: NpyHeader, file: IO[bytes]) -> NDArray[Any]:
    content, position = np.empty(header.data_bytes, dtype=np.uint8), 0
    while piece := file.read(_PIECE_MAX):  # to the end, where its checksum is compared
        content[position : position + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        position += len(piece)
    if position != header.data_bytes:
        raise EOFError(f"{position:,} bytes of {header.data_bytes:,}")
    array: NDArray[Any] = content.view(header.dtype)
    return array.reshape(header.shape, order="F" if header.is_fortran else "C")
