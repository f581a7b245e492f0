"""The emulator's command."""

from __future__ import annotations

import sys
from pathlib import Path

from emulator.board import NAME, start_board, stop_board
from toolchain.device import DEVICES_FILE
from toolchain.errors import ExitCode, ToolchainError


def main() -> int:
    """Start or stop the board; return the exit code of the contract."""
    commands = {"start": start_board, "stop": stop_board}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.stderr.write("usage: python -m emulator start|stop\n")
        return ExitCode.USAGE
    try:
        commands[sys.argv[1]](Path(DEVICES_FILE).absolute())
    except ToolchainError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    if sys.argv[1] == "start":
        sys.stderr.write(f"the board runs: make deploy DEVICE={NAME}; make board-stop ends it\n")
    return ExitCode.PROVEN


if __name__ == "__main__":
    sys.exit(main())
