"""Compares every file of a bundle with its manifest."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Iterator, Optional, Tuple

from .bundle_files import MANIFEST_NAME, SHIPPED_LINK, SHIPPED_NAME, SIGNATURE_NAME, FileEntry
from .errors import ExitCode, ToolchainError
from .manifest import Manifest

_BLOCK_BYTES = 1 << 20


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


def _is_shipped_link(bundle_dir: Path, path: str, manifest: Manifest) -> bool:
    # Beside a bundle's files a release has one link: within it, and to the folder of a payload that may be shipped.
    folders = [find_payload_folder(candidate.path) for candidate in manifest.candidates]
    return path == SHIPPED_LINK and os.readlink(str(bundle_dir / path)) in folders


def _walk(bundle_dir: Path, folder: str) -> Iterator[Tuple[str, int]]:
    # Every folder, file, link and device, with its mode; no link is followed.
    for item in sorted((bundle_dir / folder).iterdir()):
        path = f"{folder}/{item.name}" if folder else item.name
        mode = item.lstat().st_mode
        yield path, mode
        if stat.S_ISDIR(mode):
            yield from _walk(bundle_dir, path)


def check_file(bundle_dir: Path, entry: FileEntry) -> None:
    """Refuse (exit 11) a file that is not as its entry says."""
    path = bundle_dir / entry.path
    if path.is_symlink() or not path.is_file():
        raise _differ(entry.path, "a regular file", "none, or a link")
    size_bytes = path.stat().st_size
    if size_bytes != entry.size_bytes:
        raise _differ(entry.path, f"{entry.size_bytes} bytes", f"{size_bytes} bytes")
    sha256 = compute_sha256(path)
    if sha256 != entry.sha256:
        raise _differ(entry.path, f"sha256 {entry.sha256}", f"sha256 {sha256}")


def check_contents(bundle_dir: Path, manifest: Manifest) -> None:
    """Compare every file of a bundle with the manifest: none missing, none extra, regular files only, sizes, hashes.

    The one link that a release on a board may have is that to the folder of one of its candidates.
    Raises ToolchainError (exit 11) that names the first difference.
    """
    files = {entry.path for entry in manifest.files}
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    seen = set()
    for path, mode in _walk(bundle_dir, ""):
        if stat.S_ISDIR(mode):
            if path not in folders:
                raise _differ(path, "no such folder", "a folder")
        elif stat.S_ISLNK(mode) and _is_shipped_link(bundle_dir, path, manifest):
            continue
        elif not stat.S_ISREG(mode):
            raise _differ(path, "a regular file", "a link" if stat.S_ISLNK(mode) else "a special file")
        elif path in files:
            seen.add(path)
        elif path not in (MANIFEST_NAME, SIGNATURE_NAME, SHIPPED_NAME):
            raise _differ(path, "no such file", "a file that the manifest does not list")
    for entry in manifest.files:
        if entry.path not in seen:
            raise _differ(entry.path, "the file", "none")
        check_file(bundle_dir, entry)
