"""The emulator's command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from toolchain.emulator.board import NAME, TARGET, start_board, stop_board
from toolchain.emulator.inside import write_python
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.device import DEVICES_FILE
from toolchain.run.screen import Screen


def main() -> int:
    """Start or stop the board, or lend its Python; return the exit code of the contract."""
    commands: dict[str, Callable[..., None]] = {"start": _start, "stop": _stop, "python": _write_python}
    name, *arguments = sys.argv[1:] or [""]
    if name not in commands or len(arguments) > (name == "start"):
        Screen(sys.stderr).line("usage: python -m toolchain.emulator start [TARGET] | stop | python")
        return ExitCode.USAGE
    try:
        commands[name](*arguments)
    except ToolchainError as error:
        Screen(sys.stderr).error(error)
        return error.code
    return ExitCode.PROVEN


def _start(target: str = TARGET) -> None:
    start_board(Path(DEVICES_FILE).absolute(), target)
    Screen(sys.stderr).line(f"the board runs: make deploy DEVICE={NAME}; make board-stop ends it")


def _stop() -> None:
    stop_board(Path(DEVICES_FILE).absolute())


def _write_python() -> None:
    Screen(sys.stdout).line(str(write_python(Path.cwd())))


if __name__ == "__main__":
    sys.exit(main())
