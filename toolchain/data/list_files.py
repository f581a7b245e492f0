"""The files of a folder, by their endings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from toolchain.errors import missing, usage
from toolchain.run.names import check_path

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp"})


def list_files(folder: Path, suffixes: frozenset[str], *, what: str) -> list[Path]:
    """Return the files of a folder and of those in it that end so, sorted.

    what: one of them, with an article. Raises ToolchainError: no such folder (exit 3); none of them, a pipe or another
    thing that is none, a name that is no UTF-8 (exit 2).
    """
    if not folder.is_dir():
        raise missing(f"there is no folder {folder}", fix="correct the path in data.options of the recipe")
    found = sorted(check_path(path, what) for path in _walk(folder) if path.suffix.lower() in suffixes)
    if not found:
        raise usage(
            f"the folder has not {what}",
            where=str(folder),
            expected=f"files {', '.join(sorted(suffixes))}",
            found="none",
            fix="correct the path in data.options of the recipe",
        )
    for path in found:
        check_file(path, what)
    return found


def check_file(path: Path, what: str) -> None:
    """Refuse (exit 2) what is one of the files by its name alone."""
    if not path.is_file():
        raise usage(
            f"what is {what} by its name is no file",
            where=str(path),
            expected="a file, or a link to one",
            found="a link to nothing" if path.is_symlink() else "a folder, a pipe or a device",
            fix="remove it, or give it another name",
        )


def _walk(folder: Path) -> Iterator[Path]:
    # Links to folders are not followed: one to a folder above has no end.
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)
