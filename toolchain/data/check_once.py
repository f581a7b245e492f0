"""Checks that read whole files: what passed once is not read again while it is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toolchain.data.faults import Faults
from toolchain.run.cache import Cache, cache_root

# Of what is checked: another number checks all files anew.
_VERSION = 1


def check_once(what: str, sha256: str, paths: Sequence[Path], check: Callable[[Path, Faults], object]) -> None:
    """Check each file, several at a time, and remember that all of them passed.

    what: which check it is, with what it depends on beside the files. sha256: of the files. Raises ToolchainError (exit 2)
    for what it found, in the order of the files.
    """

    def build(folder: Path) -> None:
        faults = Faults()
        with ThreadPoolExecutor() as pool:  # decoding runs outside the interpreter's lock
            for found in pool.map(lambda path: _check(path, check), paths):
                faults.take(found)
        faults.refuse()
        (folder / "passed.txt").write_text(f"{len(paths)} files\n", encoding="ascii")

    Cache(cache_root()).get_or_build("checked-files", {"check": what, "version": _VERSION, "files": sha256}, build)


def _check(path: Path, check: Callable[[Path, Faults], object]) -> Faults:
    faults = Faults()
    check(path, faults)
    return faults
