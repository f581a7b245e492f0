"""The files of a bundle: how its own are called, and which others a manifest may list."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Dict, Tuple

from .errors import ExitCode, ToolchainError

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.sig"
# Which payload was proven; a host writes it beside the manifest after the verdict.
SHIPPED_NAME = "shipped.json"
# Of the link that a board adds to a release, by which applications reach the payload that was proven.
SHIPPED_LINK = "shipped"
# NAME_MAX of Linux file systems (limits.h).
NAME_BYTES_MAX = 255


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle."""

    path: str
    size_bytes: int
    sha256: str


def require(condition: object, where: str, expected: str, found: object) -> None:
    """Refuse (exit 23) a manifest that does not meet a condition."""
    if not condition:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the manifest contradicts itself",
            where=f"{MANIFEST_NAME}: {where}",
            expected=expected,
            found=str(found),
            fix="write the bundle again",
        )


def check_path(path: str, where: str) -> None:
    """Refuse (exit 23) a path that could leave the bundle or mean something else on another file system."""
    parts = path.split("/")
    try:
        encoded_parts = [part.encode("utf-8") for part in parts]
    except UnicodeEncodeError:  # a lone surrogate: bytes that were not UTF-8
        encoded_parts = []
    is_safe = (
        encoded_parts
        and all(0 < len(part) <= NAME_BYTES_MAX for part in encoded_parts)
        and not any(part in (".", "..") for part in parts)
        # A backslash or a colon is a separator or a drive on Windows.
        and not any(character in "\\:" or unicodedata.category(character) == "Cc" for character in path)
    )
    if not is_safe:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the manifest names an unsafe path",
            where=f"{MANIFEST_NAME}: {where}",
            expected="a relative path of plain names joined by /, in UTF-8, without .. and backslashes",
            found=ascii(path),
            fix="do not use this bundle; write it again from its source",
        )


def check_files(files: Tuple[FileEntry, ...]) -> None:
    """Refuse (exit 23) a list of files that could not lie in one folder as it says."""
    spelled: Dict[str, str] = {}
    folders = set()
    names = [entry.path for entry in files]
    for index, entry in enumerate(files):
        where = f"files[{index}]"
        check_path(entry.path, f"{where}.path")
        reserved = (MANIFEST_NAME, SIGNATURE_NAME, SHIPPED_NAME, SHIPPED_LINK)
        require(entry.path.split("/")[0].casefold() not in reserved, where, "any other name", entry.path)
        require(entry.size_bytes >= 0, f"{where}.size_bytes", "a size of 0 or more", entry.size_bytes)
        require(re.fullmatch("[0-9a-f]{64}", entry.sha256), f"{where}.sha256", "64 hex digits", entry.sha256)
        parts = entry.path.split("/")
        prefixes = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        folders.update(prefixes[:-1])
        for prefix in prefixes:
            # A file system that ignores case would make one of two such files.
            folded = unicodedata.normalize("NFC", prefix).casefold()
            require(spelled.setdefault(folded, prefix) == prefix, where, "names that differ in more than case", prefix)
    require(names == sorted(set(names)), "files", "every path once, sorted", "another order or a path twice")
    clash = folders.intersection(names)
    require(not clash, "files", "a file or a folder of one name", ", ".join(sorted(clash)))
