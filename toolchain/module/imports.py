"""Imports the Python files of a model, apart from those of every other model in this process."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


def find_package_root(path: Path) -> Path:
    """Return the topmost package around a file: folders with an __init__.py; its own folder where it is in none."""
    root = path.parent
    while (root / "__init__.py").is_file() and (root.parent / "__init__.py").is_file():
        root = root.parent
    return root


def list_import_folders(path: Path) -> list[Path]:
    """Return where a model's file finds its own modules: beside itself, and beside the package that it is in."""
    root = find_package_root(path)
    is_package = (root / "__init__.py").is_file()
    return [path.parent, root.parent] if is_package else [path.parent]


@contextmanager
def imports_of(path: Path) -> Iterator[None]:
    """Let what runs inside find the modules beside the file first, and forget those modules afterwards.

    Two models may both have a module `blocks`: neither sees the other's, in whichever order they are built.
    """
    folders = [str(folder) for folder in list_import_folders(path)]
    kept_path, wrote_bytecode = list(sys.path), sys.dont_write_bytecode
    importlib.invalidate_caches()
    known = set(sys.modules)
    tops = {name.partition(".")[0] for name in known} - sys.stdlib_module_names
    theirs = {top for top in tops if _find_in(top, folders) is not None}
    aside = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in theirs and not _lies_in(module, folders)
    }
    for name in aside:
        del sys.modules[name]
    sys.path[:0] = folders
    sys.dont_write_bytecode = True  # what is written within a second of another version is mistaken for it
    try:
        yield
    finally:
        folders += [folder for folder in sys.path if folder not in (*folders, *kept_path)]  # what its code has added
        sys.path[:] = kept_path
        sys.dont_write_bytecode = wrote_bytecode
        new = [name for name in sys.modules if name not in known or name in aside]
        for name in new:
            if _find_in(name.partition(".")[0], folders) is not None:
                del sys.modules[name]
        sys.modules.update(aside)


def import_file(path: Path) -> ModuleType:
    """Return the module in a file, which may import relatively; to be called inside of `imports_of(path)`.

    Raises whatever the file raises.
    """
    root = find_package_root(path)
    package = f"toolchain_model_{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}"
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]  # of an earlier build: the files may have changed
    _enter_package(package, root)
    # A file name may hold dots and hyphens.
    parts = [*path.parent.relative_to(root).parts, path.stem.replace(".", "_")]
    for count in range(1, len(parts)):
        importlib.import_module(".".join([package, *parts[:count]]))
    name = ".".join([package, *parts])
    if name in sys.modules:  # its package imports it
        return sys.modules[name]
    return _load(importlib.util.spec_from_file_location(name, path), name)


def _enter_package(name: str, folder: Path) -> None:
    """Make the folder a package, with its __init__.py where there is one, so that relative imports work in it."""
    init = folder / "__init__.py"
    if init.is_file():
        _load(importlib.util.spec_from_file_location(name, init, submodule_search_locations=[str(folder)]), name)
        return
    module = ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


def _load(spec: ModuleSpec | None, name: str) -> ModuleType:
    if spec is None or spec.loader is None:
        message = f"{name} is no Python file"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and inspect look a class's module up here
    spec.loader.exec_module(module)
    return module


def _lies_in(module: ModuleType | None, folders: list[str]) -> bool:
    places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    return any(Path(folder) in Path(place).parents for place in places for folder in folders)


def _find_in(name: str, folders: list[str]) -> ModuleSpec | None:
    """Return what `import name` finds where the folders come first, if it is theirs: a namespace gives way to others."""
    if name == "toolchain":
        return None
    spec = PathFinder.find_spec(name, folders)
    if spec is not None and spec.origin is not None and "site-packages" in spec.origin:
        return None
    if spec is not None and spec.origin is None:
        other = PathFinder.find_spec(name, sys.path)
        return spec if other is None or other.origin is None else None
    return spec
