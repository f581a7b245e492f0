"""Compares every file of a bundle with its manifest."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path, PurePosixPath
from typing import Iterator, Tuple

from .errors import ExitCode, ToolchainError
from .manifest import MANIFEST_NAME, SHIPPED_NAME, SIGNATURE_NAME, FileEntry, Manifest

_BLOCK_BYTES = 1 << 20


def _differ(path: str, expected: str, found: str) -> ToolchainError:
    fix = "copy the bundle again from where it was built"
    if "__pycache__" in path:
        fix = f"remove {path}, and run the agent with `python -B -m agent`"
    return ToolchainError(ExitCode.CONTENT, "the bundle differs from its manifest", path, expected, found, fix)


def compute_sha256(path: Path) -> str:
    """Return the sha256 of a file's content, as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _walk(bundle_dir: Path, folder: str) -> Iterator[Tuple[str, int]]:
    # Every folder, file, link and device, with its mode; no link is followed.
    for item in sorted((bundle_dir / folder).iterdir()):
        path = f"{folder}/{item.name}" if folder else item.name
        mode = item.lstat().st_mode
        yield path, mode
        if stat.S_ISDIR(mode):
            yield from _walk(bundle_dir, path)


def _check_file(bundle_dir: Path, entry: FileEntry) -> None:
    path = bundle_dir / entry.path
    size_bytes = path.stat().st_size
    if size_bytes != entry.size_bytes:
        raise _differ(entry.path, f"{entry.size_bytes} bytes", f"{size_bytes} bytes")
    sha256 = compute_sha256(path)
    if sha256 != entry.sha256:
        raise _differ(entry.path, f"sha256 {entry.sha256}", f"sha256 {sha256}")


def check_contents(bundle_dir: Path, manifest: Manifest) -> None:
    """Compare every file of a bundle with the manifest: none missing, none extra, regular files only, sizes, hashes.

    Raises ToolchainError (exit 11) that names the first difference.
    """
    files = {entry.path for entry in manifest.files}
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    seen = set()
    for path, mode in _walk(bundle_dir, ""):
        if stat.S_ISDIR(mode):
            if path not in folders:
                raise _differ(path, "no such folder", "a folder")
        elif not stat.S_ISREG(mode):
            raise _differ(path, "a regular file", "a link" if stat.S_ISLNK(mode) else "a special file")
        elif path in files:
            seen.add(path)
        elif path not in (MANIFEST_NAME, SIGNATURE_NAME, SHIPPED_NAME):
            raise _differ(path, "no such file", "a file that the manifest does not list")
    for entry in manifest.files:
        if entry.path not in seen:
            raise _differ(entry.path, "the file", "none")
        _check_file(bundle_dir, entry)
