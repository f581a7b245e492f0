"""How a command ends: whatever it raises becomes a message on stderr and an exit code of the contract."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

import typer

from toolchain.agent.printable import escape_lines
from toolchain.agent.temporary import remove_orphans
from toolchain.cli.stdout import write_failure, write_nowhere
from toolchain.errors import ExitCode, ToolchainError, is_storage_error, missing, storage, usage
from toolchain.run.cache import cache_root
from toolchain.run.extras import find_extra, write_install
from toolchain.run.screen import Screen, escape_stderr

# What shells use for a process that SIGINT ended; typer returns it for a KeyboardInterrupt.
_INTERRUPTED = 130

_interrupts: ContextVar[list[int]] = ContextVar("interrupts")
"""The signals that came while a command ran."""


def was_interrupted() -> bool:
    """Return whether SIGINT came while this command ran, whatever became of the KeyboardInterrupt."""
    return bool(_interrupts.get([]))


def run_command(app: typer.Typer) -> int:
    """Run the command that sys.argv names and return its exit code; never a traceback.

    A command that was asked for --json and ends in an error prints {"exit_code", "error"}, as a report.json holds them.
    """
    _open_closed_streams()
    remove_orphans()
    with _listen_for_interrupts() as interrupts, escape_stderr():
        outcome = _run(app)
    # A library that swallows an interrupt goes on half-imported, and fails with a message that misleads.
    if (interrupts and outcome != ExitCode.PROVEN) or outcome == _INTERRUPTED:
        Screen(sys.stderr).line("interrupted: what was finished is kept; the same command goes on from there")
        return _INTERRUPTED
    if isinstance(outcome, int):
        return outcome
    Screen(sys.stderr).error(outcome)
    if "--json" in sys.argv[1:]:
        write_failure({"exit_code": int(outcome.code), "error": outcome.to_dict()})
    return int(outcome.code)


def _open_closed_streams() -> None:
    """Give this process the standard streams that whoever started it had closed, such as `>&-`; what is written is lost.

    Without, the next file that is opened would be its stdout, and libraries would write into that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # as Python leaves it
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - as long as the process


def _run(app: typer.Typer) -> int | ToolchainError:
    """Return the code that the command returned, or the error that describes what it raised."""
    try:
        return int(app(prog_name="toolchain", standalone_mode=False) or ExitCode.PROVEN)
    except typer.TyperException as error:
        # Without arguments the help was shown, and there is nothing to add.
        return _explain_usage(error) if error.format_message() else ExitCode.USAGE
    except ToolchainError as error:
        return error
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except SystemExit as error:
        # But for rich, only code that we were given ends the process, and its code would be taken for ours.
        return ExitCode.PROVEN if _drop_unread_help(error) else _explain_unexpected(error)
    except Exception as error:  # noqa: BLE001 - the outermost frame: users get a message, and the traceback in a file
        return explain(error)


def _drop_unread_help(error: SystemExit) -> bool:
    """Return whether rich ended the process because nobody reads help to its end, as by `| head`; the rest goes nowhere."""
    is_unread = isinstance(error.__context__, BrokenPipeError) and bool({"-h", "--help"} & set(sys.argv[1:]))
    if is_unread:
        write_nowhere()
    return is_unread


@contextmanager
def _listen_for_interrupts() -> Iterator[list[int]]:
    """Raise KeyboardInterrupt for every SIGINT, as Python does, and keep a list of them."""
    interrupts: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    before, token = signal.signal(signal.SIGINT, interrupt), _interrupts.set(interrupts)
    try:
        yield interrupts
    finally:
        _interrupts.reset(token)
        signal.signal(signal.SIGINT, before)


def _explain_usage(error: typer.TyperException) -> ToolchainError:
    """Return the error for what the parser of the command line refused."""
    context = getattr(error, "ctx", None)
    command = "toolchain" if context is None else context.command_path
    return usage(error.format_message().rstrip("."), where="the command line", fix=f"see {command} --help")


def explain(error: Exception) -> ToolchainError:
    """Return the error that a command ends with for whatever it raised; the traceback of what nobody foresaw is kept."""
    if isinstance(error, ToolchainError):
        return error
    if isinstance(error, typer.TyperException):
        return _explain_usage(error)
    if isinstance(error, OSError) and is_storage_error(error):
        return storage(error)
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.partition(".")[0] != "toolchain":
        return missing(
            f"the Python module {error.name} is not installed",
            where=sys.executable,
            fix=f"install the toolchain again: {write_install(find_extra(error.name))}",
        )
    return _explain_unexpected(error)


def _explain_unexpected(error: BaseException) -> ToolchainError:
    """Return the error for what nobody foresaw; its traceback goes to a file, because it is for us."""
    try:
        path = cache_root() / "traceback.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(escape_lines("".join(traceback.format_exception(error))), encoding="utf-8")
        where = f"the traceback is in {path}"
    except OSError as reason:
        where = f"the traceback could not be kept in {reason.filename}: {reason.strerror}"
    except ToolchainError as reason:
        where = f"the traceback could not be kept: {reason.what}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    what = ": ".join([type(error).__name__, *lines[:1]])
    return ToolchainError(ExitCode.UNEXPECTED, what, where=where, fix="report it with that file")
