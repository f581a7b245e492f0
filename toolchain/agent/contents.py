"""Compares every file of a bundle with its manifest."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Iterator, Optional, Set, Tuple

from .bundle_files import MANIFEST_NAME, SHIPPED_LINK, SHIPPED_NAME, SIGNATURE_NAME, FileEntry
from .errors import ExitCode, ToolchainError
from .manifest import Manifest
from .regular import open_folder, open_regular_file

_BLOCK_BYTES = 1 << 20
# The files that lie beside those of the manifest.
_BESIDE = (MANIFEST_NAME, SIGNATURE_NAME, SHIPPED_NAME)
# What open(2) says of a path that leads to no regular file: nothing, a link, a file among the folders, a socket, a pipe.
_NO_FILE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EINVAL)


def _differ(path: str, expected: str, found: str) -> ToolchainError:
    fix = "copy the bundle again from where it was built"
    if "__pycache__" in path:
        fix = f"remove {path}, and run the agent with `python -B -m agent`"
    return ToolchainError(
        ExitCode.CONTENT, "the bundle differs from its manifest", where=path, expected=expected, found=found, fix=fix
    )


def compute_sha256(path: Path) -> str:
    """Return the sha256 of a file's content, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def find_payload_folder(payload: str) -> Optional[str]:
    """Return the folder of a payload that has one of its own, as payload/PRECISION/model.onnx has; None elsewhere."""
    folder, _, _ = payload.rpartition("/")
    return folder if "/" in folder else None


def _is_shipped_link(bundle: int, path: str, manifest: Manifest) -> bool:
    # Beside a bundle's files a release has one link: within it, and to the folder of a payload that may be shipped.
    folders = [find_payload_folder(candidate.path) for candidate in manifest.candidates]
    return path == SHIPPED_LINK and os.readlink(path, dir_fd=bundle) in folders


def _walk(bundle: int, folders: Set[str]) -> Iterator[Tuple[str, int]]:
    # Every folder, file, link and device, with its mode, one after the other as the disk has them: whoever stops at the
    # first that is not listed has read as many as are. Only folders of the bundle are entered, and no link is followed.
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with open_folder(folder, bundle) as descriptor, os.scandir(descriptor) as items:
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                mode = item.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode) and path in folders:
                    waiting.append(path)
                yield path, mode


def _refuse_item(path: str, mode: int) -> ToolchainError:
    if stat.S_ISDIR(mode):
        return _differ(path, "no such folder", "a folder")
    if stat.S_ISREG(mode):
        return _differ(path, "no such file", "a file that the manifest does not list")
    return _differ(path, "a regular file", "a link" if stat.S_ISLNK(mode) else "a special file")


def check_file_at(bundle: int, entry: FileEntry) -> os.stat_result:
    """Refuse (exit 11) a file, in a folder that is open, that is not as its entry says.

    Return what fstat(2) said of it before it was read.
    """
    try:
        file = open_regular_file(entry.path, folder=bundle)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _differ(entry.path, "a regular file", "none, or a link") from error
    with file:
        status = os.fstat(file.fileno())
        size_bytes = status.st_size
        if size_bytes != entry.size_bytes:
            raise _differ(entry.path, f"{entry.size_bytes} bytes", f"{size_bytes} bytes")
        sha256 = _hash(file, entry.size_bytes)
    if sha256 != entry.sha256:
        raise _differ(entry.path, f"sha256 {entry.sha256}", f"sha256 {sha256}")
    return status


def _hash(file: BinaryIO, size_bytes: int) -> str:
    # No further than the file was: one that grows as it is read would never end, and is another one anyway.
    digest = hashlib.sha256()
    while size_bytes > 0:
        block = file.read(min(_BLOCK_BYTES, size_bytes))
        if not block:
            break
        digest.update(block)
        size_bytes -= len(block)
    return digest.hexdigest()


def check_contents(bundle_dir: Path, manifest: Manifest) -> None:
    """Compare every file of a bundle with the manifest: none missing, none extra, regular files only, sizes, hashes.

    The one link that a release on a board may have is that to the folder of one of its candidates. What is not listed is
    refused before anything is hashed. Raises ToolchainError (exit 11) that names a difference.
    """
    with open_folder(bundle_dir) as bundle:
        check_contents_at(bundle, manifest)


def check_contents_at(bundle: int, manifest: Manifest) -> None:
    """Do so in a folder that is open: what is compared is in that one, whatever is done to its name meanwhile."""
    files = {entry.path for entry in manifest.files}
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    seen = set()
    for path, mode in _walk(bundle, folders):
        if stat.S_ISREG(mode) and path in files:
            seen.add(path)
        elif not (
            (stat.S_ISDIR(mode) and path in folders)
            or (stat.S_ISREG(mode) and path in _BESIDE)
            or (stat.S_ISLNK(mode) and _is_shipped_link(bundle, path, manifest))
        ):
            raise _refuse_item(path, mode)
    for entry in manifest.files:
        if entry.path not in seen:
            raise _differ(entry.path, "the file", "none")
    for entry in manifest.files:
        check_file_at(bundle, entry)
