"""The shared libraries of a runtime and the module that loads them: found and hashed without loading anything."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Dict, Iterator, Mapping, Optional, Sequence

from ..contents import compute_sha256
from .traits import LibraryPlaces, find_traits, list_runtimes

_LIBRARY = re.compile(r".+\.(so(\.[\w.]+)?|pyd|dll|dylib)")
_SYSTEM_FOLDERS = ("/lib", "/usr/lib", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True)
class HashedFile:
    """A file, the sha256 of its content, and what stat(2) said: while that stays the same, so does the content.

    ctime is among it because nobody can set it, as mtime can be: a file that was replaced and dated back is read again.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str


def find_module(name: str) -> Optional[ModuleSpec]:
    """Return where Python would import a module from, without importing it; None where there is none."""
    # Not importlib.util.find_spec: it believes what is loaded already, however long ago.
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return next((spec for spec in (finder.find_spec(name, None) for finder in finders) if spec is not None), None)


def find_libraries(runtime: str) -> Dict[str, Path]:
    """Return the module and the shared libraries of a runtime, by names that say nothing of where Python is installed."""
    # A board asks for the runtime of a release that a newer agent may have made.
    places = find_traits(runtime).libraries if runtime in list_runtimes() else LibraryPlaces(beside=(runtime,))
    spec = find_module(runtime)
    if spec is None:
        return {}
    found: Dict[str, Path] = {}
    for location in spec.submodule_search_locations or ():
        for name in places.beside:
            found.update(_list_folder(Path(location).parent, name))
    if spec.origin is not None:
        folder = f"{runtime}/" if spec.submodule_search_locations else ""
        found[folder + Path(spec.origin).name] = Path(spec.origin)
    for path in _list_system(places.system):
        found[path.name] = path
    return dict(sorted(found.items()))


def _list_folder(parent: Path, name: str) -> Dict[str, Path]:
    return {
        path.relative_to(parent).as_posix(): path
        for path in (parent / name).rglob("*")
        if _LIBRARY.fullmatch(path.name) and path.is_file()
    }


def _list_system(patterns: Sequence[str]) -> Iterator[Path]:
    multiarch = sysconfig.get_config_var("MULTIARCH")
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), *_SYSTEM_FOLDERS]
    folders += [f"/usr/lib/{multiarch}"] if multiarch else []
    for folder in folders:
        for pattern in patterns:
            # One file has several names there: libnvinfer.so.10 is a link to libnvinfer.so.10.3.0.
            yield from (path.resolve() for path in sorted(Path(folder or "/nowhere").glob(pattern)) if path.is_file())


def hash_file(path: Path, known: Optional[HashedFile] = None) -> HashedFile:
    """Return a file with its hash; one that is as it was `known` is not read again."""
    status = path.stat()
    seen = (str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    if known is not None and seen == (
        *(known.path, known.size_bytes),
        *(known.mtime_ns, known.ctime_ns, known.inode),
    ):
        return known
    return HashedFile(
        path=str(path),
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        sha256=compute_sha256(path),
    )


def hash_libraries(runtime: str, known: Mapping[str, HashedFile]) -> Dict[str, HashedFile]:
    """Return what find_libraries finds, hashed; a file that is as it was `known` is not read."""
    return {name: hash_file(path, known.get(name)) for name, path in find_libraries(runtime).items()}
