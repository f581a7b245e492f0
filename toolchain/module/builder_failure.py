"""What to tell a user whose file does not build its model: the line, the reason, the fix."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Sequence
from pathlib import Path

from toolchain.errors import ToolchainError, find_near, first_line, missing, usage


def explain_import(error: BaseException, path: Path, folders: Sequence[Path]) -> ToolchainError:
    """Return the error for whatever the file that builds the model raised while it was imported.

    A package that is not installed is exit 3, everything else exit 2.
    """
    where = find_line(error, folders) or str(path)
    if isinstance(error, SyntaxError):
        return usage(
            "the file that builds the model is no Python",
            where=f"{error.filename or path}:{error.lineno}" if error.lineno else str(path),
            expected="Python",
            found=error.msg,
            fix="correct the line",
        )
    if isinstance(error, ImportError):
        return _explain_missing(error, where, folders)
    return usage(
        "the file that builds the model cannot be imported",
        where=where,
        found=describe(error),
        fix="correct the line; what a file does when it is imported must not fail, nor end the process",
    )


def explain_call(error: BaseException, path: Path, folders: Sequence[Path]) -> ToolchainError:
    """Return the error for whatever the function that builds the model raised: exit 3 for a missing package, else 2."""
    where = find_line(error, folders) or str(path)
    if isinstance(error, ImportError):
        return _explain_missing(error, where, folders)
    fix = "correct the line, or model.build_options in the recipe"
    if isinstance(error, SystemExit):
        fix = "return the module and raise ValueError for a wrong option: a builder must not end the process"
    return usage("the function that builds the model fails", where=where, found=describe(error), fix=fix)


def describe(error: BaseException) -> str:
    """Return the type of an exception and the first line of what it says."""
    if isinstance(error, SystemExit):
        return f"sys.exit({'' if error.code is None else repr(error.code)})"
    line = first_line(error) if str(error).strip() else ""
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def find_line(error: BaseException, folders: Sequence[Path]) -> str | None:
    """Return FILE:LINE of the innermost place in the model's own files that the error passed through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parents = Path(frame.filename).parents
        if any(folder in parents for folder in folders) and "site-packages" not in frame.filename:
            return f"{frame.filename}:{frame.lineno}"
    return None


def _explain_missing(error: ImportError, where: str, folders: Sequence[Path]) -> ToolchainError:
    name = error.name or ""
    top = name.partition(".")[0]
    beside = sorted({path.stem for folder in folders for path in folder.glob("*.py")} - {"__init__"})
    near = find_near(top, beside, cutoff=0.75)
    if isinstance(error, ModuleNotFoundError) and near and top not in beside:
        return usage(
            f"there is no module {name} beside the model",
            where=where,
            expected=f"one of: {', '.join(beside)}",
            found=name,
            fix=f"did you mean {near}?",
        )
    if isinstance(error, ModuleNotFoundError) and top and top.isidentifier() and not _is_there(top, folders):
        return missing(
            f"the Python module {name} is not installed",
            where=where,
            fix=f"python -m pip install {top}, or the package that has it; or put {top}.py beside the model",
        )
    if error.path is not None and not error.path.endswith(".py"):  # a library of its own that the system lacks
        return missing(
            f"the Python module {name} cannot be loaded: {first_line(error)}",
            where=where,
            fix="install what it needs; the message names the library",
        )
    return usage(
        "the file that builds the model cannot be imported",
        where=where,
        found=first_line(error) if str(error).strip() else type(error).__name__,
        fix="correct the import, or install the version of the package that has this name",
    )


def _is_there(top: str, folders: Sequence[Path]) -> bool:
    if top.startswith("toolchain_model_") or any((folder / top).exists() for folder in folders):
        return True
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False
