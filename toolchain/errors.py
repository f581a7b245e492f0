"""Errors of the host: shorthands for the ToolchainError that the agent defines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from toolchain.agent.errors import ExitCode, ToolchainError, first_line, is_storage_error

__all__ = [
    "ExitCode",
    "ToolchainError",
    "explain_storage",
    "find_near",
    "first_line",
    "is_storage_error",
    "malformed",
    "missing",
    "storage",
    "suggest_name",
    "usage",
]


def usage(
    what: str,
    *,
    where: str | None = None,
    expected: str | None = None,
    found: str | None = None,
    fix: str | None = None,
) -> ToolchainError:
    """Return the error for a wrong command line, recipe or target (exit 2)."""
    return ToolchainError(ExitCode.USAGE, what, where=where, expected=expected, found=found, fix=fix)


def missing(what: str, *, where: str | None = None, fix: str) -> ToolchainError:
    """Return the error for a dependency or dataset that is not there (exit 3); the fix says how to get it."""
    return ToolchainError(ExitCode.MISSING, what, where=where, fix=fix)


def malformed(
    what: str,
    *,
    where: str | None = None,
    expected: str | None = None,
    found: str | None = None,
    fix: str | None = None,
) -> ToolchainError:
    """Return the error for a model, weights or bundle file that is broken or unsafe (exit 23)."""
    return ToolchainError(ExitCode.MALFORMED, what, where=where, expected=expected, found=found, fix=fix)


def storage(error: OSError) -> ToolchainError:
    """Return the error for a full, read-only or unwritable disk (exit 14)."""
    return ToolchainError(
        ExitCode.STORAGE,
        f"cannot write {error.filename or 'a file'}",
        found=error.strerror,
        fix="free some space, or choose a writable folder with --out and TOOLCHAIN_CACHE",
    )


def find_near(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that a misspelt one is nearest to; None where none is near (difflib's ratio, 0 to 1)."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def suggest_name(name: str, known: Iterable[str], *, otherwise: str) -> str:
    """Return the fix for a name that is not among the known: the nearest of them, or what else there is to do."""
    near = find_near(name, known)
    return otherwise if near is None else f"write {near}"


@contextmanager
def explain_storage() -> Iterator[None]:
    """Turn what a disk refuses within the block into the error for it (exit 14); other exceptions pass."""
    try:
        yield
    except OSError as error:
        if not is_storage_error(error):
            raise
        # A copy that fails names its source first.
        raise storage(OSError(error.errno, error.strerror, error.filename2 or error.filename)) from error
