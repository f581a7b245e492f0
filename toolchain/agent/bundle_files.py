"""The files of a bundle: how its own are called, and which others a manifest may list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, Set, Tuple

from .decode import clip
from .errors import ExitCode, ToolchainError

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.sig"
# Which payload was proven; a host writes it beside the manifest after the verdict.
SHIPPED_NAME = "shipped.json"
# Of the link that a board adds to a release, by which applications reach the payload that was proven.
SHIPPED_LINK = "shipped"
# What no file of a bundle may be called, in any case: some file systems know no case.
_RESERVED = (MANIFEST_NAME, SIGNATURE_NAME, SHIPPED_NAME, SHIPPED_LINK)
# The portable file names of POSIX.1-2017, section 3.282: no two of them look the same, none is written in two ways, and
# none has a separator, a drive, a control or a mark of direction in it. A dot at the end is dropped by some file systems.
# 255 is NAME_MAX of Linux file systems (limits.h).
_NAME = re.compile(r"(?!-)[A-Za-z0-9._-]{0,254}[A-Za-z0-9_-]")
# Ours have 4 names: agent/measure/runtimes/onnxruntime.py. More than a few make folders that cost more than their files.
PATH_NAMES_MAX = 16
# A quarter of PATH_MAX (limits.h): a board has its own folders before it.
PATH_BYTES_MAX = 1024
# The eMMC of the largest board that is sold as a kit, the Jetson AGX Orin: what is larger lies on none, and is not hashed.
BUNDLE_SIZE_BYTES_MAX = 64 * 2**30
_SHA256 = re.compile("[0-9a-f]{64}")


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
            where=clip(f"{MANIFEST_NAME}: {where}"),
            expected=clip(expected),
            found=clip(str(found)),
            fix="write the bundle again",
        )


def split_path(path: str, where: str) -> Tuple[str, ...]:
    """Return the names of a path; refuse (exit 23) one that could leave the bundle or be another on another file system."""
    names = path.split("/") if len(path) <= PATH_BYTES_MAX else []
    if not 0 < len(names) <= PATH_NAMES_MAX or not all(map(_NAME.fullmatch, names)):
        expected = f"up to {PATH_NAMES_MAX} names of a-z A-Z 0-9 . _ - joined by /, {PATH_BYTES_MAX} characters at most"
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the manifest names an unsafe path",
            where=f"{MANIFEST_NAME}: {where}",
            expected=expected,
            found=clip(ascii(path)),
            fix="do not use this bundle; write it again from its source",
        )
    return tuple(names)


def check_files(files: Tuple[FileEntry, ...]) -> None:
    """Refuse (exit 23) a list of files that could not lie in one folder as it says."""
    spelled: Dict[str, str] = {}
    folders: Set[str] = set()
    for index, entry in enumerate(files):
        where = f"files[{index}]"
        names = split_path(entry.path, f"{where}.path")
        require(names[0].lower() not in _RESERVED, where, "any other name", entry.path)
        require(entry.size_bytes >= 0, f"{where}.size_bytes", "a size of 0 or more", entry.size_bytes)
        require(_SHA256.fullmatch(entry.sha256), f"{where}.sha256", "64 hex digits", entry.sha256)
        prefixes = ["/".join(names[:depth]) for depth in range(1, len(names) + 1)]
        folders.update(prefixes[:-1])
        for prefix in prefixes:
            # A file system that ignores case would make one of two such files.
            is_alone = spelled.setdefault(prefix.lower(), prefix) == prefix
            require(is_alone, where, "names that differ in more than case", prefix)
    paths = [entry.path for entry in files]
    require(paths == sorted(set(paths)), "files", "every path once, sorted", "another order or a path twice")
    clash = folders.intersection(paths)
    require(not clash, "files", "a file or a folder of one name", ", ".join(sorted(clash)))
    size_bytes = sum(entry.size_bytes for entry in files)
    require(size_bytes <= BUNDLE_SIZE_BYTES_MAX, "files", f"at most {BUNDLE_SIZE_BYTES_MAX} bytes in all", size_bytes)
