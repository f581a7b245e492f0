"""Errors of the host: shorthands for the ToolchainError that the agent defines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from toolchain.agent.errors import ExitCode, ToolchainError, is_storage_error

__all__ = [
    "ExitCode",
    "ToolchainError",
    "explain_storage",
    "is_storage_error",
    "malformed",
    "missing",
    "storage",
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
    return ToolchainError(ExitCode.USAGE, what, where, expected, found, fix)


def missing(what: str, *, where: str | None = None, fix: str) -> ToolchainError:
    """Return the error for a dependency or dataset that is not there (exit 3); the fix says how to get it."""
    return ToolchainError(ExitCode.MISSING, what, where, fix=fix)


def malformed(
    what: str,
    *,
    where: str | None = None,
    expected: str | None = None,
    found: str | None = None,
    fix: str | None = None,
) -> ToolchainError:
    """Return the error for a model, weights or bundle file that is broken or unsafe (exit 23)."""
    return ToolchainError(ExitCode.MALFORMED, what, where, expected, found, fix)


def storage(error: OSError) -> ToolchainError:
    """Return the error for a full, read-only or unwritable disk (exit 14)."""
    return ToolchainError(
        ExitCode.STORAGE,
        f"cannot write {error.filename or 'a file'}",
        found=error.strerror,
        fix="free some space, or choose a writable folder with --out and TOOLCHAIN_CACHE",
    )


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
