"""The seam between the agent's commands and what carries them: a connection starts commands on a board."""

from __future__ import annotations

import subprocess
from typing import Protocol

from toolchain.errors import ExitCode, ToolchainError

# What ssh exits with where the connection, and not the command, failed.
SSH_FAILED = 255


class Connection(Protocol):
    """A way to run commands on one board."""

    @property
    def place(self) -> str:
        """Where the board is, for people."""

    def open(self) -> None:
        """Connect; raises ToolchainError: exit 16 unreachable, not let in, or another host key; 3 no ssh here."""

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a command of a POSIX shell on the board, with pipes for its stdin, stdout and stderr.

        Its exit code is the command's, or 255 where the connection broke.
        """

    def close(self) -> None:
        """Disconnect; nothing happens where it is not open."""


def lost(place: str, found: str) -> ToolchainError:
    """Return the error for a connection that broke after it was made (exit 15)."""
    return ToolchainError(
        ExitCode.CONNECTION_LOST,
        "the connection broke",
        where=place,
        found=found,
        fix="run the same command again: it goes on where it stopped",
    )
