"""Lends the board's Python to programs of this machine, with the folders that they share at their own paths."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from toolchain.emulator.binfmt import register_interpreter
from toolchain.emulator.board import TARGET, require_root
from toolchain.emulator.root import board_folder, build_root
from toolchain.project.find import find_target

# Becomes the board's Python in the same process, so that signals and limits meet it; its PATH and folder are the caller's.
# $0: the root. Its mounts are its own: what this machine mounts later is not seen there.
_SCRIPT = """#!/bin/sh
exec /usr/bin/unshare --mount /bin/sh -c '
for folder in /proc /dev /sys "$1" "$2"; do /bin/mount --rbind "$folder" "$0$folder"; done
shift 2
exec /usr/sbin/chroot "$0" /usr/bin/env --chdir="$PWD" /usr/bin/python3 "$@"' {root} {repository} {temporary} "$@"
"""


def write_python(repository: Path) -> Path:
    """Return a script that runs the board's Python; it sees `repository` and the folder of temporary files.

    Raises ToolchainError: exit 2 without root's rights, exit 3 where a tool is missing.
    """
    require_root()
    root = build_root(find_target(TARGET).runtime)
    register_interpreter()
    shared = {"repository": repository.resolve(), "temporary": Path(tempfile.gettempdir()).resolve()}
    for folder in shared.values():
        root.joinpath(*folder.parts[1:]).mkdir(parents=True, exist_ok=True)
    script = board_folder() / "run" / "python"
    script.parent.mkdir(mode=0o700, exist_ok=True)
    quoted = {name: shlex.quote(str(folder)) for name, folder in {"root": root, **shared}.items()}
    script.write_text(_SCRIPT.format(**quoted))
    script.chmod(0o700)
    return script
