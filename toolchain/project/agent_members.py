"""Metrics, decoders and runtimes from outside: files that the agent's code does not lie beside, made known to it here.

On a board such a file lies among the agent's own, where the bundle's writer and the installer's sender put it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from toolchain.agent.measure.members import find_outside, import_member, register_member
from toolchain.errors import usage
from toolchain.project.board_code import check_board_code
from toolchain.project.members import Member, blame_member, find_member, list_defined, name_file
from toolchain.project.seams import DECODERS, METRICS, RUNTIMES, Seam

_SEAMS = {seam.name: seam for seam in (METRICS, DECODERS, RUNTIMES)}


def use_member(seam: Seam, name: object, *, where: str | None = None, folder: Path | None = None) -> Member:
    """Return a metric, a decoder or a runtime that the agent's code in this process can find from now on.

    folder: of the recipe, which FILE.py:NAME is relative to; None takes names alone.

    Raises ToolchainError (exit 2) as find_member does, for a file that is not there or does not define NAME, and for a metric
    or decoder that no board could run.
    """
    if folder is not None and isinstance(name, str) and ":" in name:
        file, _, name = name.rpartition(":")
        _name_file(seam, name, folder / file, where)
    member = find_member(seam, name, where=where)
    if not member.is_ours:
        if seam in (METRICS, DECODERS):
            check_board_code(member)
        register_member(_find_package(seam), member.name, member.path)
    return member


def load_used(seam: Seam, name: str) -> ModuleType:
    """Return the module of a metric, a decoder or a runtime as boards import it: of the agent's package, with its relative imports.

    Raises ToolchainError (exit 2) as use_member does, and for a file that breaks as it is imported.
    """
    with blame_member(use_member(seam, name)):
        return import_member(_find_package(seam), name)


def read_name(reference: str) -> str:
    """Return the name of a member that a recipe writes as a name or as FILE.py:NAME."""
    return reference.rpartition(":")[2]


def use_argument(text: str) -> None:
    """Use the member of one `--member KIND:NAME=FILE.py`; raises ToolchainError (exit 2) as use_member does."""
    kind, _, rest = text.partition(":")
    name, _, file = rest.partition("=")
    if kind not in _SEAMS or not name or not file:
        raise usage(
            "this names no member",
            where="--member",
            expected=f"KIND:NAME=FILE.py, KIND one of {', '.join(_SEAMS)}",
            found=text,
            fix="write it as in --member metrics:within_two=models/tiny/my_metric.py",
        )
    use_member(_SEAMS[kind], f"{file}:{name}", where="--member", folder=Path.cwd())


def _find_package(seam: Seam) -> ModuleType:
    from toolchain.agent.measure import decoders, metrics, runtimes

    return {METRICS: metrics, DECODERS: decoders, RUNTIMES: runtimes}[seam]


def _name_file(seam: Seam, name: str, path: Path, where: str | None) -> None:
    """Let a file be the member of this name from now on; refuse one that is not there, or does not define it."""
    if path.suffix != ".py" or not name.isidentifier():
        raise usage(
            f"this names no {seam.noun}",
            where=where,
            expected=f"a name, or FILE.py:NAME of a {seam.noun} of yours",
            found=f"{path.name}:{name}",
            fix=f'write a file beside the recipe, a colon and what it defines, such as "my_{seam.noun}.py:within_two"',
        )
    path = path.parent.resolve() / path.name  # a file that is a link is one of the folder that it lies in
    if not path.is_file():
        raise usage(
            f"the file of the {seam.noun} {name} does not exist",
            where=where,
            expected=str(path),
            found="no such file",
            fix="create it, or correct the path, which starts at the folder of the recipe",
        )
    name_file(seam, name, path)
    defined = list_defined(find_member(seam, name, where=where))
    if not {name, "start"} & defined and defined:
        raise usage(
            f"the file does not define the {seam.noun} {name}",
            where=str(path),
            expected=f"a function or a class {name}",
            found=", ".join(sorted(defined)),
            fix=f"define {name} there, or correct the name after the colon",
        )


def list_arguments(members: Iterable[tuple[Seam, str | None]]) -> list[str]:
    """Return the options by which an agent in another process here finds what this one uses, such as (METRICS, NAME)."""
    arguments = []
    for seam, name in members:
        path = None if name is None else find_outside(seam.package, name)
        arguments += [] if path is None else ["--member", f"{seam.name}:{name}={path}"]
    return arguments
