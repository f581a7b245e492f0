"""The emulator's command."""

from __future__ import annotations

import sys
from pathlib import Path

from toolchain.emulator.board import NAME, start_board, stop_board
from toolchain.emulator.inside import write_python
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.device import DEVICES_FILE


def main() -> int:
    """Start or stop the board, or lend its Python; return the exit code of the contract."""
    commands = {"start": _start, "stop": _stop, "python": _write_python}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.stderr.write(f"usage: python -m emulator {'|'.join(commands)}\n")
        return ExitCode.USAGE
    try:
        commands[sys.argv[1]]()
    except ToolchainError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    return ExitCode.PROVEN


def _start() -> None:
    start_board(Path(DEVICES_FILE).absolute())
    sys.stderr.write(f"the board runs: make deploy DEVICE={NAME}; make board-stop ends it\n")


def _stop() -> None:
    stop_board(Path(DEVICES_FILE).absolute())


def _write_python() -> None:
    sys.stdout.write(f"{write_python(Path.cwd())}\n")


if __name__ == "__main__":
    sys.exit(main())
