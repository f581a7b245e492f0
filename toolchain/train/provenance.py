"""Where weights come from: what to run to get them again."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

_LIBRARIES = ("torch", "torchvision", "accelerate", "numpy")


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that training depends on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _LIBRARIES}


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
