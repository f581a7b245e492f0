"""Which function or class of a Python file builds the model, by its syntax alone."""

from __future__ import annotations

import ast
from pathlib import Path

from toolchain.errors import suggest_name, usage
from toolchain.run.regular_file import read_regular

# What people call it, the likeliest first.
_NAMES = ("build", "build_model", "create_model", "make_model", "get_model", "model")
_FILE_BYTES_MAX = 8 << 20


def choose_builder(path: Path, named: str | None) -> str:
    """Return the name of what builds the model: the one that was named, or the only one that can be.

    Raises ToolchainError (exit 2): a file that cannot be read or is no Python, a name that is not in it, several to choose from.
    """
    tree = _parse(path)
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    known = [*functions, *(node.name for node in classes)]
    if named is not None:
        if named not in known:
            raise usage(
                f"the file has no function or class {named}",
                where=f"{path}: --from",
                expected=f"one of {', '.join(known) or 'none'}",
                found=named,
                fix=suggest_name(named, known, otherwise=f"write --from {path}:NAME with one of them"),
            )
        return named
    if likely := [name for name in _NAMES if name in functions]:
        return likely[0]
    modules = [node.name for node in classes if _is_module(node)]
    used = {name for node in classes for name in _list_names(node) if name != node.name}
    outer = [name for name in modules if name not in used]
    if len(outer) != 1:
        raise usage(
            "it is not told which function or class is the model",
            where=str(path),
            expected=f"a function {_NAMES[0]}, one class of nn.Module, or FILE.py:NAME",
            found=", ".join(outer or known) or "no function and no class",
            fix=f"write --from {path}:{(outer or known or ['NAME'])[0]}, or another of them",
        )
    return outer[0]


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(read_regular(path, size_max=_FILE_BYTES_MAX))
    except OSError as error:
        raise usage(
            "the Python file cannot be read",
            where=str(path),
            expected="a file that you may read",
            found=error.strerror,
            fix="check the path and its permissions",
        ) from error
    except (SyntaxError, ValueError, RecursionError) as error:
        raise usage(
            "the file that builds the model is no Python",
            where=f"{path}:{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else str(path),
            expected="Python",
            found=error.msg if isinstance(error, SyntaxError) else str(error),
            fix="correct the line",
        ) from error


def _is_module(node: ast.ClassDef) -> bool:
    """Return whether a class is nn.Module's by the name of what it derives from."""
    return any(ast.unparse(base).endswith("Module") for base in node.bases)


def _list_names(node: ast.ClassDef) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
