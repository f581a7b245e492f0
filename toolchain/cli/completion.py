"""Completion in shells: the script that each evaluates once, and the answers to what it asks on every tab."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined] # their --install-completion

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.screen import Screen

_PROGRAM = "toolchain"
# What typer's scripts ask by; its value is complete_SHELL.
_VARIABLE = "_TOOLCHAIN_COMPLETE"


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="bash, zsh or fish.")],
) -> int:
    """Print the completion of commands, options, models, targets and devices: eval "$(toolchain completion bash)"."""
    script = get_completion_script(prog_name=_PROGRAM, complete_var=_VARIABLE, shell=shell)
    Screen(sys.stdout).lines(script)
    return ExitCode.PROVEN


def answer_shell(create_app: Callable[[], typer.Typer]) -> None:
    """Answer a shell that asks for completions, and end; return where none asks."""
    if _VARIABLE in os.environ:
        completion_init()
        create_app()(prog_name=_PROGRAM)


def suggest_models() -> list[str]:
    """Return the names of models."""
    from toolchain.project.find import list_models

    return _list(list_models)


def suggest_targets() -> list[str]:
    """Return the names of targets."""
    from toolchain.project.find import list_targets

    return _list(list_targets)


def suggest_devices() -> list[str]:
    """Return the names in devices.toml."""
    from pathlib import Path

    from toolchain.project.device import DEVICES_FILE, read_devices

    return _list(lambda: read_devices(Path.cwd() / DEVICES_FILE))


def _list(find: Callable[[], Iterable[str]]) -> list[str]:
    """Return what is found; nothing where a file cannot be read, as a shell has no place for messages."""
    try:
        return list(find())
    except (ToolchainError, OSError):
        return []
