"""The error that every part of the toolchain raises, on the host and on a board, and the exit codes."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Dict, Optional

from .printable import escape_line


class ExitCode(IntEnum):
    """Exit codes of every command: a contract with the scripts that call us."""

    PROVEN = 0
    UNEXPECTED = 1
    USAGE = 2
    MISSING = 3
    SIGNATURE = 10
    CONTENT = 11
    INCOMPATIBLE = 12
    REPLAY = 13
    STORAGE = 14
    CONNECTION_LOST = 15
    UNREACHABLE = 16
    BUSY = 17
    PARITY = 18
    LATENCY = 19
    INVALID = 20
    ROLLED_BACK = 21
    ROLLBACK_FAILED = 22
    MALFORMED = 23
    METRIC = 24
    EXPIRED = 25


# What exit 14 stands for: the only such list, of boards and of the host.
_STORAGE_ERRNOS = (
    errno.ENOSPC,  # the disk is full
    errno.EDQUOT,  # the user's share of it is
    errno.EFBIG,  # the file is larger than the user (ulimit -f) or the file system may have
    errno.EROFS,  # mounted read-only, as flash is after an error
    errno.EACCES,  # a folder of someone else's
    errno.EPERM,  # so too, or a file that chattr +i protects
    errno.EIO,  # the disk or the card is broken
    errno.EEXIST,  # a file where a folder must be
    errno.ENOTDIR,  # a file where a folder of the path must be
)

# The first word of the message, so that a log can be searched for it.
_KINDS: Dict[ExitCode, str] = {
    ExitCode.UNEXPECTED: "unexpected error",
    ExitCode.USAGE: "usage",
    ExitCode.MISSING: "missing",
    ExitCode.SIGNATURE: "signature",
    ExitCode.CONTENT: "content",
    ExitCode.INCOMPATIBLE: "incompatible",
    ExitCode.REPLAY: "replay",
    ExitCode.STORAGE: "storage",
    ExitCode.CONNECTION_LOST: "connection lost",
    ExitCode.UNREACHABLE: "unreachable",
    ExitCode.BUSY: "busy",
    ExitCode.PARITY: "parity",
    ExitCode.LATENCY: "latency",
    ExitCode.INVALID: "measurement invalid",
    ExitCode.ROLLED_BACK: "rolled back",
    ExitCode.ROLLBACK_FAILED: "rollback failed",
    ExitCode.MALFORMED: "malformed",
    ExitCode.METRIC: "metric",
    ExitCode.EXPIRED: "expired",
}


class ToolchainError(Exception):
    """An error that a user can act on: what happened, where, what was expected, what was found, the fix.

    Raises ValueError for the exit code 0: whoever tells an error tells no success.
    """

    def __init__(
        self,
        code: ExitCode,
        what: str,
        *,
        where: Optional[str] = None,
        expected: Optional[str] = None,
        found: Optional[str] = None,
        fix: Optional[str] = None,
    ) -> None:
        if code == ExitCode.PROVEN:
            message = "an error has an exit code of its own"
            raise ValueError(message)
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.fix = fix

    def __str__(self) -> str:
        """Return the message as printed: the kind and what, then where and the fix, one line each; all of it escaped."""
        lines = [f"{_KINDS[self.code]}: {escape_line(self.what)}"]
        facts = []
        if self.expected is not None:
            facts.append(f"expected {escape_line(self.expected)}")
        if self.found is not None:
            facts.append(f"found {escape_line(self.found)}")
        if self.where is not None or facts:
            where = None if self.where is None else escape_line(self.where)
            lines.append("  " + ": ".join(part for part in (where, ", ".join(facts)) if part))
        if self.fix is not None:
            lines.append(f"  fix: {escape_line(self.fix)}")
        return "\n".join(lines)

    def to_dict(self) -> Dict[str, object]:
        """Return the fields as JSON types, to be sent from a board to the host."""
        return {
            "code": int(self.code),
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "found": self.found,
            "fix": self.fix,
        }


def is_storage_error(error: BaseException) -> bool:
    """Return whether an exception says that a disk is full, read-only, not ours, in the way or broken (exit 14)."""
    return isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS


def first_line(error: BaseException) -> str:
    """Return the first line of an exception that has something to say, or the name of its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
