"""Metrics and decoders from outside run on boards: one file, on Python 3.8, with numpy and the agent's own modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from toolchain.errors import ToolchainError, usage
from toolchain.project.members import Member

_BOARD_PYTHON = (3, 8)
# numpy, and what of the standard library computes: no files, processes, sockets, clocks or chance.
_ALLOWED = {
    *(
        "numpy",
        "__future__",
        "abc",
        "array",
        "bisect",
        "cmath",
        "collections",
        "copy",
        "dataclasses",
        "decimal",
        "enum",
    ),
    *("fractions", "functools", "heapq", "itertools", "math", "numbers", "operator", "re", "statistics", "string"),
    *("struct", "typing", "unicodedata"),
}
# toolchain.agent.measure.metrics.NAME: ... is the agent, and a dot more is the toolchain, which no board has.
_LEVEL_MAX = 3
# What installs is no part of a bundle.
_NOT_IN_BUNDLES = "install"


def check_board_code(member: Member) -> None:
    """Refuse (exit 2) a file that imports what no board has, or is no Python of boards; nothing of it is run.

    It keeps mistakes off boards and no attacks: whoever signs a bundle is trusted by the board.
    """
    try:
        tree = ast.parse(member.path.read_bytes(), feature_version=_BOARD_PYTHON)
    except (SyntaxError, ValueError, OSError) as error:
        raise _refuse(
            member, f"Python {'.'.join(map(str, _BOARD_PYTHON))}", f"{type(error).__name__}: {error}"
        ) from error
    for line, name in _list_foreign(tree):
        raise _refuse(
            member,
            f"numpy, the agent's own modules, and of Python {', '.join(sorted(_ALLOWED - {'numpy'}))}",
            f"line {line}: {name}",
        )


def _list_foreign(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, f"import {alias.name}") for alias in node.names if _is_foreign(alias.name))
        elif isinstance(node, ast.ImportFrom):
            inside = [node.module] if node.module else [alias.name for alias in node.names]
            is_foreign = _is_foreign(node.module or "") if not node.level else node.level > _LEVEL_MAX
            is_foreign |= node.level == _LEVEL_MAX and any(name.partition(".")[0] == _NOT_IN_BUNDLES for name in inside)
            if is_foreign:
                yield node.lineno, f"from {'.' * node.level}{node.module or ''} import {node.names[0].name}"


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in _ALLOWED


def _refuse(member: Member, expected: str, found: str) -> ToolchainError:
    return usage(
        f"the {member.seam.noun} {member.name} cannot run on boards",
        where=str(member.path),
        expected=expected,
        found=found,
        fix="write it in one file that computes with numpy alone",
    )
