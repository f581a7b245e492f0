"""Where a run comes from: versions, commit and time, for the report. None of it goes into the bundle."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

# The options of the commands whose values a report may tell. Of every other, and of a name that is misspelt, the value could
# be where somebody keeps a key.
TOLD = frozenset(
    {
        *("--target", "--device", "--precision", "--out", "-o", "--calibration", "--data", "--storage", "--signers"),
        *("--counter", "--expires-days", "--latency-samples", "--latency-limit-s", "--start-processes"),
        *("--sqnr-db-min", "--threads"),
        *("--epochs", "--seed", "--trials", "--older-than", "--max-size-gb"),
        *("--from", "--weights", "--take", "--model", "--member", "--summary"),
        *("--metric-drop-max", "--slowdown-max", "--size-growth-max"),
    }
)
FLAGS = frozenset({"--json", "--quiet", "--layers", "--fresh", "--search", "--prune", "--page", "--gate", "--help"})
_HIDDEN = "..."


def describe_run(folder: Path | None) -> dict[str, Any]:
    """Return what this run was made with; `folder` is that of the recipe, whose git commit is named.

    None asks git nothing, which runs what the settings of a repository say, and so may be that of a stranger.
    """
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(tell_words(sys.argv[1:])),
        "toolchain": read_version(),
        "python": platform.python_version(),
        "git_commit": None if folder is None else find_git_commit(folder),
    }


def read_version() -> str:
    """Return the toolchain's own version; raises PackageNotFoundError where it runs without being installed."""
    return metadata.version("edge-toolchain")


def tell_words(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with the values of --sign, and of options that no command has, left out."""
    told: list[str] = []
    is_hidden = False
    for word in words:
        name, equals, _ = word.partition("=")
        if name in TOLD or name in FLAGS:
            told.append(word)
            is_hidden = False
        elif is_hidden:
            told.append(_HIDDEN)
            is_hidden = False
        elif word.startswith("-"):
            told.append(f"{name}{equals}{_HIDDEN if equals else ''}")
            is_hidden = not equals
        else:
            told.append(word)
    return told


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
