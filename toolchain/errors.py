"""Errors of the host: shorthands for the ToolchainError that the agent defines."""

from __future__ import annotations

from toolchain.agent.errors import ExitCode, ToolchainError, first_line, is_storage_error

__all__ = ["ExitCode", "ToolchainError", "first_line", "is_storage_error", "malformed", "missing", "storage", "usage"]


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
