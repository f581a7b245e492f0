"""What stops the emulator, in the words of the toolchain's errors."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

from toolchain.errors import ExitCode, ToolchainError, missing

_LINES_SHOWN = 5  # the end of what a tool prints says why it failed


def require_tools(tools: Mapping[str, str]) -> None:
    """Refuse to go on (exit 3) where a command is missing; tools: the command, and the Debian package that has it."""
    absent = [name for name in tools if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if absent:
        packages = " ".join(sorted({tools[name] for name in absent}))
        raise missing(f"{', '.join(absent)} is not installed", fix=f"sudo apt-get install {packages}")


def run_tool(command: Sequence[str], *, what: str, fix: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the stdout of a command; raises ToolchainError (exit 1) with the fix, and the end of what it printed, where it fails."""
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_LINES_SHOWN:]
        raise ToolchainError(
            ExitCode.UNEXPECTED,
            f"{what} failed",
            where=" ".join(command[:3]),
            expected="exit code 0",
            found=f"{done.returncode}: " + " / ".join(lines),
            fix=fix,
        )
    return done.stdout
