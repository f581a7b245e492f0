"""The one finder of members: built-in modules, files in the project's plugins/, modules of installed packages.

Listing imports nothing, so that it costs nothing and breaks on nobody's code; loading imports the one member that is
asked for. A name belongs to one member: a second one is an error that names both, and never takes the first one's place.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from toolchain.errors import ToolchainError, suggest_name, usage
from toolchain.project.seams import Seam

_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
_PACKAGE = Path(__file__).parent.parent

# Files that recipes name beside themselves (FILE.py:NAME), by seam and name; the agent's registry is one for the process too.
_named: dict[tuple[Seam, str], Path] = {}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a seam, found and not yet imported."""

    seam: Seam
    name: str
    """What recipes and targets call it."""
    module: str
    """Under which it is imported."""
    path: Path
    """Its file; of an installed package that cannot be found, a file that is not there."""
    distribution: str | None = None
    """The installed package that names it; None for the others."""
    is_ours: bool = False

    @property
    def is_file(self) -> bool:
        """Whether it is a file of the user's project."""
        return self.distribution is None and not self.is_ours

    @property
    def place(self) -> str:
        """Where it comes from, for messages."""
        if self.distribution is not None:
            return f"{self.module} of the installed package {self.distribution}"
        return f"{self.module}, a part of the toolchain" if self.is_ours else str(self.path)


def list_members(seam: Seam) -> dict[str, Member]:
    """Return the members of a seam by name, sorted; nothing of them is imported.

    Raises ToolchainError (exit 2): a name that two members have, an entry point that names no module.
    """
    found: dict[str, Member] = {}
    for member in (*_list_ours(seam), *_list_files(seam), *_list_installed(seam)):
        if not member.is_ours:
            _check_name(member)
        other = found.setdefault(member.name, member)
        if other is not member:
            own = next((one for one in (member, other) if one.is_file), None)
            raise usage(
                f"two {seam.noun}s are called {member.name}",
                where=member.place,
                expected=f"another name than that of {other.place}",
                found=member.name,
                fix=f"uninstall {member.distribution}" if own is None else _write_rename(own),
            )
    return dict(sorted(found.items()))


def name_file(seam: Seam, name: str, path: Path) -> None:
    """Let a file be the member of this name from now on; list_members refuses a name that another has."""
    known = _named.get((seam, name))
    if known not in (None, path):
        raise usage(
            f"two {seam.noun}s are called {name}",
            where=str(path),
            expected=f"another name than that of {known}",
            found=name,
            fix=f"rename {name} in one of the files",
        )
    _named[seam, name] = path


def find_member(seam: Seam, name: object, *, where: str | None = None) -> Member:
    """Return the member of this name; nothing is imported.

    Args:
        seam: of what kind.
        name: as the user wrote it.
        where: the key or option that names it.

    Raises:
        ToolchainError: (exit 2) there is none, with the known names; as list_members raises.
    """
    known = list_members(seam)
    if isinstance(name, str) and name in known:
        return known[name]
    add = f", or add {seam.folder}/{name}.py" if _is_name(name) and seam.from_outside else ""
    raise usage(
        f"there is no {seam.noun} {name}" if name else f"no {seam.noun} is named",
        where=where,
        expected=f"one of {', '.join(known)}",
        found=repr(name),
        fix=suggest_name(str(name), known, otherwise=f"correct the name{add}"),
    )


def load_member(member: Member) -> ModuleType:
    """Return a member's module, imported now.

    Raises ToolchainError (exit 2): its file breaks as it is imported, or does not define what its seam needs.
    """
    try:
        module = _import_file(member) if member.is_file else importlib.import_module(member.module)
    except ToolchainError:
        raise
    except Exception as error:
        if member.is_ours:
            raise
        raise usage(
            f"the {member.seam.noun} {member.name} cannot be imported",
            where=member.place,
            expected="a Python module that can be imported",
            found=f"{type(error).__name__}: {error}",
            fix=f"correct {member.path}, or install what it imports for {sys.executable}",
        ) from error
    lacking = [name for name in member.seam.needs if not hasattr(module, name)]
    if lacking:
        raise usage(
            f"{member.place} is no {member.seam.noun}",
            where=str(member.path),
            expected=f"definitions of {', '.join(member.seam.needs)}",
            found=f"no {', no '.join(lacking)}",
            fix=f"define {lacking[0]}; docs/extending/ shows a {member.seam.noun}",
        )
    return module


@contextmanager
def blame_member(member: Member) -> Iterator[None]:
    """Say of whatever a member from outside raises, or ends with, whose it is (exit 2); ours is a fault of the toolchain."""
    try:
        yield
    except ToolchainError:
        raise
    except (Exception, SystemExit) as error:
        if member.is_ours:
            raise
        raise usage(
            f"the {member.seam.noun} {member.name} broke",
            where=member.place,
            expected="a result, or a ToolchainError that says what is wrong",
            found=f"{type(error).__name__}: {error}",
            fix=f"correct {member.path}",
        ) from error


def read_text(member: Member, name: str) -> str:
    """Return the text that a member's file assigns to a name at its top, without importing it.

    Raises ToolchainError (exit 2) where it assigns none, or none that can be read without running it.
    """
    for statement in _parse(member).body:
        targets = _list_targets(statement)
        if name in targets and isinstance(statement, ast.Assign | ast.AnnAssign):
            value = statement.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                return value.value
    raise usage(
        f"{name} of the {member.seam.noun} {member.name} cannot be read",
        where=str(member.path),
        expected=f'{name} = "..." at the top of the file',
        found="no such line" if member.path.is_file() else "no such file",
        fix=f"write {name} as one text in quotes",
    )


def list_defined(member: Member) -> set[str]:
    """Return the names that a file defines at its top."""
    return {name for statement in _parse(member).body for name in _list_targets(statement)}


def _check_name(member: Member) -> None:
    """Refuse (exit 2) a name that a board's file or a command line could not have, or that a recipe means otherwise."""
    taken = member.name in member.seam.reserved
    if taken or not _NAME.fullmatch(member.name):
        raise usage(
            f"no {member.seam.noun} can be called {member.name}",
            where=member.place,
            expected=f"another name than {member.name}, which recipes mean otherwise"
            if taken
            else "letters of ASCII, digits and _, a letter first",
            found=ascii(member.name),
            fix=_write_rename(member) if member.is_file else f"uninstall {member.distribution}",
        )


def _write_rename(member: Member) -> str:
    return f"rename {member.path}" if member.path.stem == member.name else f"rename {member.name} in {member.path}"


@functools.cache
def _list_ours(seam: Seam) -> tuple[Member, ...]:
    """Return the built-in members; to parse all data sets takes 10 ms, and every stage asks for one."""
    return tuple(_find_ours(seam))


def _find_ours(seam: Seam) -> Iterator[Member]:
    folder = _PACKAGE.joinpath(*seam.package.split(".")[1:])
    for path in sorted(folder.glob("*.py")):
        module = f"{seam.package}.{path.stem}"
        member = Member(seam=seam, name=path.stem, module=module, path=path, is_ours=True)
        if path.stem != "__init__" and set(seam.needs) <= list_defined(member):
            yield member


def _list_files(seam: Seam) -> Iterator[Member]:
    """Yield the files of the project's folder, and those that recipes name; what begins with _ is a member's own business."""
    folder = Path.cwd() / seam.folder
    files = sorted(folder.glob("*.py")) if seam.from_outside and folder.is_dir() else []
    found = [(path.stem, path) for path in files if not path.stem.startswith("_")]
    found += [(name, path) for (kind, name), path in _named.items() if kind == seam and (name, path) not in found]
    for name, path in found:
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        # The path is a part of it: another project's member of the same name is another module.
        yield Member(seam=seam, name=name, module=f"toolchain_plugin_{digest}.{name}", path=path)


def _list_installed(seam: Seam) -> Iterator[Member]:
    if not seam.from_outside:
        return
    for point in _read_entry_points(tuple(sys.path)).select(group=seam.group):
        distribution = "of no name" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        if point.attr or not all(map(_is_name, point.module.split("."))):
            raise usage(
                f"the entry point {point.name} is no module",
                where=f"{seam.group} of the installed package {distribution}",
                expected="the dotted name of a module",
                found=point.value,
                fix=f"correct it in that package, or uninstall {distribution}",
            )
        path = _find_file(point.module)
        yield Member(seam=seam, name=point.name, module=point.module, path=path, distribution=distribution)


@functools.lru_cache(maxsize=1)
def _read_entry_points(_places: tuple[str, ...]) -> Any:
    """Return those of all packages in these places: once, because a deploy asks 50 times, and each reads hundreds of files."""
    return metadata.entry_points()


def _find_file(module: str) -> Path:
    """Return the file of a module, found without importing the packages around it."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is not None and not rest and spec.origin is not None:
        return Path(spec.origin)
    places = [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]
    names = [place.joinpath(*rest) for place in places]
    files = [file for name in names for file in (name.with_suffix(".py"), name / "__init__.py")]
    return next((file for file in files if file.is_file()), Path(f"{'/'.join([top, *rest])}.py"))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)


def _import_file(member: Member) -> ModuleType:
    """Return the module in a file of the project; from its source, as bytecode of a moment ago may be of another version."""
    if member.module in sys.modules:
        return sys.modules[member.module]
    module = ModuleType(member.module)
    module.__file__ = str(member.path)
    sys.modules[member.module] = module  # dataclasses and pydantic look a class's module up here
    try:
        exec(compile(member.path.read_bytes(), str(member.path), "exec"), module.__dict__)  # noqa: S102 - the user's own file
    except BaseException:
        del sys.modules[member.module]
        raise
    return module


def _list_targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _parse(member: Member) -> ast.Module:
    """Return a file's syntax; nothing for one that is none, which importing it says."""
    try:
        return ast.parse(member.path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ast.Module(body=[], type_ignores=[])
