"""The toolchain's own code as a part of keys: which source files a module runs, and the version of all of them.

Only what can change a result counts: files are compared as syntax trees without docstrings, so that a comment, a
docstring or another layout rebuilds nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ToolchainError
from toolchain.run.atomic import write_atomically
from toolchain.run.cache import cache_root, hash_json
from toolchain.run.regular_file import read_regular

# Parsing all of a stage's code takes 0.3 to 0.9 s, its hash 5 ms. What was found in a file is therefore kept under the
# hash of its bytes; times and sizes would not do, as an installer may give the same to another version.
# Syntax trees differ from Python to Python, and what is kept of them from one version of this file to the next.
_MEMO_VERSION = [1, *sys.version_info[:3]]
# Beyond so many, what no file of this run had goes: a developer's cache has a version of a file for each edit.
_MEMO_MAX = 2000
_MEMO_BYTES_MAX = 64 << 20  # 1 KB of each

_NONE: Mapping[str, Path] = {}


@dataclass(frozen=True)
class Source:
    """What counts of a file: the sha256 of its syntax tree, and its imports as (level, module, names)."""

    sha256: str
    imports: tuple[tuple[int, str, tuple[str, ...]], ...]


class Sources:
    """The source files of a package, each read once."""

    def __init__(self, package: Path, *, memo: Path | None = None) -> None:
        """Look at the package in a folder.

        Args:
            package: the package's folder; its name is the package's.
            memo: a file that keeps what was found in a file until its content changes; None keeps nothing.
        """
        self._package = package
        self._modules = _list_modules(package)
        self._memo = memo
        self._kept: dict[str, Any] | None = None
        self._read: dict[Path, Source] = {}
        self._raw: dict[str, Any] = {}

    def hash_imports(self, root: str, *chosen: str, outside: Sequence[Path] = ()) -> str:
        """Return the version of the code that list_imports lists."""
        files = self.list_imports(root, *chosen, outside=outside)
        digest = hash_json([[name, self._read_source(files[name]).sha256] for name in sorted(files)])
        self._keep()
        return digest

    def list_imports(
        self, root: str, *chosen: str, outside: Sequence[Path] = (), joined: Mapping[str, Path] = _NONE
    ) -> dict[str, Path]:
        """Return the modules of the package that run when the root does, by name, with their files.

        Imports are followed wherever they stand, inside functions too, except under TYPE_CHECKING. The packages that
        hold the root were imported before it, by whoever calls it; they count where something imports them by name.

        Args:
            root: the module whose code makes the result.
            chosen: modules that it imports by a name from a recipe or target, which no import statement shows.
            outside: files of others that run beside them; what of the package they import counts, they do not.
            joined: files of others that run as modules of the package, by the names of these; they count.

        Raises:
            ValueError: there is no such root or chosen module.
        """
        holders = set(_list_parents(root))
        found: dict[str, Path] = {}
        modules = {**self._modules, **joined}
        waiting = [root, *chosen, *joined]
        theirs: list[str] = []
        for path in outside:
            with suppress(SyntaxError, ValueError):  # a file that is no Python runs nothing; loading it says so
                theirs += self._follow("", path)
        if unknown := [name for name in waiting if name not in modules]:
            raise ValueError(f"there is no module {unknown[0]} in {self._package}")
        waiting += theirs
        while waiting:
            name = waiting.pop()
            if name in found or name not in modules:  # a class or a function that is imported is no module
                continue
            found[name] = modules[name]
            waiting += self._follow(name, found[name])
            waiting += [parent for parent in _list_parents(name) if parent not in holders]
        return found

    def list_libraries(self, root: str, *chosen: str, outside: Sequence[Path] = ()) -> set[str]:
        """Return the packages of others that the code of list_imports imports, by the names that it imports them by."""
        own, files = self._package.name, self.list_imports(root, *chosen, outside=outside)
        imports = (self._read_source(path).imports for path in files.values())
        names = {module.partition(".")[0] for found in imports for level, module, _ in found if level == 0}
        return {name for name in names if name != own and name not in sys.stdlib_module_names}

    def _follow(self, name: str, path: Path) -> Iterator[str]:
        """Yield the names that a module imports; those that are no modules of the package too."""
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for level, module, names in self._read_source(path).imports:
            base = module
            if level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
            yield base
            for imported in names:
                yield f"{base}.{imported}"

    def _read_source(self, path: Path) -> Source:
        if path not in self._read:
            content = path.read_bytes()
            raw = hashlib.sha256(content).hexdigest()
            source = _decode(self._load().get(raw))
            if source is None:
                self._load().pop(raw, None)
                source = parse_source(content)
            self._raw[raw] = [source.sha256, source.imports]
            self._read[path] = source
        return self._read[path]

    def _load(self) -> dict[str, Any]:
        if self._kept is None:
            self._kept = {}
            if self._memo is not None:
                with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                    document = json.loads(read_regular(self._memo, size_max=_MEMO_BYTES_MAX))
                    if document["version"] == _MEMO_VERSION:
                        self._kept = dict(document["files"])
        return self._kept

    def _keep(self) -> None:
        kept = self._load()
        if self._memo is None or self._raw.keys() <= kept.keys():
            return
        self._kept = {**(kept if len(kept) < _MEMO_MAX else {}), **self._raw}
        document = {"version": _MEMO_VERSION, "files": self._kept}
        with suppress(ToolchainError):  # a cache that cannot be written says so itself
            write_atomically(self._memo, json.dumps(document).encode())


def find_sources() -> Sources:
    """Return the toolchain's own source files; what is found in them is kept beside the results in the cache."""
    return Sources(Path(__file__).parent.parent, memo=cache_root() / "sources.json")


def parse_source(content: bytes) -> Source:
    """Return what counts of a Python file; raises SyntaxError where it is none."""
    tree = ast.parse(content)
    imports = tuple(_find_imports(tree.body))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return Source(sha256=hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports=imports)


def _find_imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from _find_imports(node.orelse)
        else:
            yield from _find_imports(ast.iter_child_nodes(node))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _is_text(node: object) -> bool:
    """Return whether a statement is a text alone: a docstring, of a field too."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _list_modules(package: Path) -> dict[str, Path]:
    """Return the files of a package by the names of their modules; a package is its __init__.py."""
    modules = {}
    for folder, _, files in os.walk(package):
        parts = [package.name, *Path(folder).relative_to(package).parts]
        for file in files:
            if file.endswith(".py"):
                name = ".".join(parts if file == "__init__.py" else [*parts, file.removesuffix(".py")])
                modules[name] = Path(folder, file)
    return modules


def _list_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _decode(kept: Any) -> Source | None:
    """Return what was kept of a file; None where nothing was, or a memo that was damaged holds something else."""
    try:
        sha256, imports = kept
        source = Source(sha256, tuple((level, module, tuple(names)) for level, module, names in imports))
    except (TypeError, ValueError):
        return None
    texts = [sha256, *(text for _, module, names in source.imports for text in (module, *names))]
    is_whole = all(isinstance(text, str) for text in texts) and all(type(item[0]) is int for item in source.imports)
    return source if is_whole else None
