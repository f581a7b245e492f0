"""Where a run comes from: versions, commit and time, for the report. None of it goes into the bundle."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


def describe_run(folder: Path) -> dict[str, Any]:
    """Return what this run was made with; `folder` is that of the recipe, whose git commit is named."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv[1:]),
        "toolchain": metadata.version("edge-toolchain"),
        "python": platform.python_version(),
        "git_commit": find_git_commit(folder),
    }


def find_git_commit(folder: Path) -> str | None:
    """Return the commit that the folder is at, "-dirty" behind it where files differ from it.

    None where the folder is in no repository or git is not installed.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
