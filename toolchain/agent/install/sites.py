"""What was installed with `pip install --user`: an isolated Python does not look there, and many a board has its runtime there.

Nothing there runs by itself: neither its .pth files nor a sitecustomize or usercustomize is read. Its modules come where Python
has them: after its own library, before the system's packages, so that the numpy that somebody installed is the one that counts.
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path
from typing import List

from ..errors import ExitCode, ToolchainError
from ..ownership import find_fault, list_owners

# Debian's Python has the second one.
_SYSTEM = ("site-packages", "dist-packages")


def list_sites() -> List[str]:
    """Return the user's site-packages where Python has such a folder and would look there if it were not isolated.

    Raises ToolchainError (exit 14) where others than the user could change it.
    """
    if sys.flags.no_site or os.environ.get("PYTHONNOUSERSITE") or _is_closed_environment():
        return []
    folder = site.getusersitepackages()
    if not Path(folder).is_dir():
        return []
    fault = find_fault(folder, list_owners())
    if fault:
        where, expected, found, mend = fault
        what = "others than you can change what you installed with pip install --user"
        fix = f"{mend}; or have the account set PYTHONNOUSERSITE=1, where nothing of it is needed"
        raise ToolchainError(ExitCode.STORAGE, what, where=where, expected=expected, found=found, fix=fix)
    return [folder]


def add_sites() -> None:
    """Let an isolated Python find what list_sites finds, before the system's packages (as site.main orders them)."""
    if sys.flags.isolated:
        names = [Path(folder).name for folder in sys.path]
        place = next((index for index, name in enumerate(names) if name in _SYSTEM), len(names))
        sys.path[place:place] = [folder for folder in list_sites() if folder not in sys.path]


def _is_closed_environment() -> bool:
    # A venv without the system's packages is without the user's too (site.venv).
    if sys.prefix == sys.base_prefix:
        return False
    try:
        lines = (Path(sys.prefix) / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    values = {key.strip().lower(): value.strip().lower() for key, _, value in (line.partition("=") for line in lines)}
    return values.get("include-system-site-packages") != "true"
