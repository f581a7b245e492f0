"""The files that a user's code is made of, a model's or a member's: the part of a cache key that stands for them."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from toolchain.module.imports import find_package_root, list_import_folders
from toolchain.project.members import Member
from toolchain.project.recipe import Recipe
from toolchain.run.cache import hash_file, hash_sources

# A longer text names no file.
_NAME_MAX = 255

# A file's own folder and two around it: as far as a model's file reaches for a folder beside its own.
_ANCESTORS = 3


def identify_files(recipe: Recipe) -> list[object]:
    """Return what changes when the code that builds the recipe's model changes; nothing of it is run.

    That is every Python file in the builder's folder and the package around it; the modules elsewhere that they
    import, as far as they are no installed package; every file that one of those names in a text, or that
    model.build_options name, such as a configuration that the builder reads; the versions of installed packages.
    """
    path = recipe.builder_folder / Path(recipe.model.build or "").name.rpartition(":")[0]
    root = find_package_root(path)
    sources, packages = _follow_imports(path)
    if recipe.task.loss is not None:
        own, more = _follow_imports(recipe.folder / recipe.task.loss.rpartition(":")[0])
        sources, packages = sorted({*sources, *own}), sorted({*packages, *more})
    outside = [source for source in sources if root not in source.parents]
    options = [value for value in recipe.model.build_options.values() if isinstance(value, str)]
    read = sorted({file for source in sources for file in _find_named_files(source, path.parent, options)})
    return [
        hash_sources(root),
        hash_sources(*outside),
        [[file.name, hash_file(file)] for file in read],
        [[name, _read_version(name)] for name in packages],
    ]


def list_own_files(path: Path) -> list[Path]:
    """Return a Python file of a user's and every other one of theirs that it imports or names; nothing of it is run."""
    sources, _ = _follow_imports(path)
    read = {file for source in sources for file in _find_named_files(source, path.parent, [])}
    return sorted({path, *sources, *read})


@dataclass(frozen=True)
class MemberCode:
    """The code of a member from outside: its Python files, and what changes when it changes, as JSON types."""

    sources: tuple[Path, ...]
    identity: list[object]


def identify_member(member: Member) -> MemberCode:
    """Return the code of a project's or an installed package's member; nothing of it is run.

    Of a project's file that is what a model's builder is made of, but for its neighbours that it neither imports nor
    names. Of an installed package it is every file of that, whatever the package's version says.
    """
    path, own = member.path, [member.path]
    root = find_package_root(path)
    if not member.is_file and (root / "__init__.py").is_file():
        own = sorted(file for file in root.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    sources, packages = _follow_imports(path, *(file for file in own if file.suffix == ".py"))
    read = [file for source in sources for file in _find_named_files(source, source.parent, [])]
    return MemberCode(
        sources=tuple(sources),
        identity=[
            member.name,
            [[file.name, hash_file(file)] for file in sorted({*own, *sources, *read})],
            [[name, _read_version(name)] for name in packages],
        ],
    )


def _follow_imports(path: Path, *more: Path) -> tuple[list[Path], list[str]]:
    """Return the Python files that a file and more of its package lead to, and the installed packages they import."""
    folders = [str(folder) for folder in list_import_folders(path)]
    root = find_package_root(path)
    sources, packages = {path, *more}, set()
    waiting = list(sources)
    while waiting:
        source = waiting.pop()
        found = set(_find_named_files(source, path.parent, []))  # those that it loads by their path
        for name, level in _list_imports(source):
            if level:
                found.update(_find_relative(source, name, level))
                continue
            top = name.partition(".")[0]
            known = top in sys.stdlib_module_names or top == "toolchain"
            spec = None if known else _find(top, [*_find_named_folders(source), *folders], source)
            if spec is None:
                continue
            places = [Path(place) for place in spec.submodule_search_locations or [spec.origin or ""]]
            if any("site-packages" in place.parts or "dist-packages" in place.parts for place in places):
                packages.add(top)
                continue
            for place in places:
                # Of the folder's own modules only those that are named; of others all that lies in them.
                inside = place == root or place in root.parents
                found.update(_list_named(place.parent, name) if inside or not place.is_dir() else place.rglob("*.py"))
                if place.is_file():
                    found.add(place)
        new = {file for file in found if file.is_file() and file.suffix == ".py"} - sources
        sources |= new
        waiting += new
    return sorted(sources), sorted(packages)


def _find(top: str, folders: Sequence[str], source: Path) -> ModuleSpec | None:
    spec = PathFinder.find_spec(top, [*folders, *sys.path])
    if spec is None:  # an editable installation has a finder of its own
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)
    if spec is None:  # sys.path.append(dirname(dirname(__file__)))
        spec = PathFinder.find_spec(top, [str(folder) for folder in source.parents[:_ANCESTORS]])
    return spec


def _find_named_folders(source: Path) -> list[str]:
    """Return the folders that texts in a file name, as a file does that puts one of them on sys.path."""
    texts = {text for node in ast.walk(_parse(source)) for text in _join_texts(node)}
    places = [folder / text.strip("/") for folder in source.parents[:_ANCESTORS] for text in texts]
    return sorted(str(place) for place in places if _is_folder(place))


def _list_imports(source: Path) -> Iterator[tuple[str, int]]:
    """Yield the modules that a file imports anywhere in it, and how many dots stand before each."""
    for node in ast.walk(_parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module, node.level
            # What is imported from a package may be a module of it.
            yield from ((f"{module}.{alias.name}".lstrip("."), node.level) for alias in node.names)


def _find_relative(source: Path, name: str, level: int) -> Iterator[Path]:
    folder = source.parent
    for _ in range(level - 1):
        folder = folder.parent
    yield folder / "__init__.py"
    yield from _list_named(folder, name)


def _list_named(folder: Path, name: str) -> Iterator[Path]:
    """Yield the files of a module and of the packages around it, as they would lie in a folder."""
    place = folder
    for part in name.split(".") if name else []:
        place = place / part
        yield place / "__init__.py"
        yield place.with_name(f"{place.name}.py")


def _find_named_files(source: Path, folder: Path, options: Sequence[str]) -> Iterator[Path]:
    """Yield the files that texts in a file name: alone, or joined to a path; from beside it, or from the working folder."""
    texts = {text for node in ast.walk(_parse(source)) for text in _join_texts(node)}
    places = {source.parent, folder, Path.cwd()}
    folders = places | {place / text for place in places for text in texts if _is_folder(place / text)}
    for place in folders:
        for text in (*texts, *options):
            file = place / text
            if file.is_file():
                yield file.resolve()


def _join_texts(node: ast.AST) -> Iterator[str]:
    """Yield the text of a constant, of `a / "b" / "c"`, and of join(a, "b", "c")."""
    parts: list[str] = []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        parts = [node.value]
    elif isinstance(node, ast.Call):
        parts = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        if isinstance(node.right, ast.Constant) and isinstance(node.right.value, str):
            parts.insert(0, node.right.value)
        node = node.left
    text = os.path.join(*parts) if parts else ""  # noqa: PTH118 - an absolute part takes the place of those before it
    if 0 < len(text) <= _NAME_MAX and "\n" not in text and "\0" not in text:
        yield text


def _is_folder(path: Path) -> bool:
    return path.name not in ("", ".", "..") and path.is_dir()


def _parse(source: Path) -> ast.Module:
    """Return a file's syntax; nothing for one that is no Python, which building the model says."""
    try:
        return ast.parse(source.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError):
        return ast.Module(body=[], type_ignores=[])


def _read_version(top: str) -> str | None:
    """Return the version of the installed distribution that a package belongs to; None where that is unknown."""
    try:
        return metadata.version(top)
    except metadata.PackageNotFoundError:
        names = metadata.packages_distributions().get(top, [])
        return ", ".join(sorted(f"{name} {metadata.version(name)}" for name in names)) or None
