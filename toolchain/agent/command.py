"""One command of the agent: arguments in, one JSON object out, and the exit code of what happened."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from typing import Any, Callable, Dict, NoReturn, Sequence, Tuple

from .errors import ExitCode, ToolchainError, is_storage_error
from .printable import escape_lines

Answer = Tuple[ExitCode, Dict[str, Any]]


class Parser(argparse.ArgumentParser):
    """A parser whose errors come out as JSON too."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise ToolchainError(ExitCode.USAGE, message, fix="see --help")


def report_progress(step: str, done: int, total: int) -> None:
    """Write a line of progress to stderr."""
    line = json.dumps({"event": "progress", "step": step, "done": done, "total": total})
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def explain_missing(error: ModuleNotFoundError) -> ToolchainError:
    """Return the error (exit 3) for a Python module that is not installed."""
    fix = f"install it for {sys.executable}: python3 -m pip install {error.name}"
    return ToolchainError(ExitCode.MISSING, f"the Python module {error.name} is not installed", fix=fix)


def _answer(run: Callable[[Sequence[str]], Answer], arguments: Sequence[str]) -> Answer:
    try:
        return run(arguments)
    except ToolchainError as error:
        return error.code, {"error": error.to_dict()}
    except ModuleNotFoundError as error:
        missing = explain_missing(error)
        return missing.code, {"error": missing.to_dict()}
    except Exception as error:  # noqa: BLE001 - the outermost frame: whoever called gets JSON and an exit code
        sys.stderr.write(escape_lines(traceback.format_exc()))
        code, fix = ExitCode.UNEXPECTED, "start it again; if it comes back, report it with the traceback on stderr"
        if is_storage_error(error):
            code, fix = ExitCode.STORAGE, "make room on this machine's disk, and check that its folders are writable"
        return code, {"error": ToolchainError(code, f"{type(error).__name__}: {error}", fix=fix).to_dict()}


def keep_runtimes_silent() -> None:
    """Let no runtime tell others that it runs, in this process and in those that it starts.

    ONNX Runtime 1.32 for Linux has a client that sends events to its makers over HTTPS, which begins when it is imported: with
    a number for the user in ~/.cache/Microsoft, and .ses in the folder for temporary files. Others ignore the variable.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def answer_command(run: Callable[[Sequence[str]], Answer], arguments: Sequence[str]) -> int:
    """Run a command with its arguments; print its JSON object and return the exit code, whatever happens."""
    keep_runtimes_silent()
    code, document = _answer(run, arguments)
    sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    sys.stdout.flush()
    return int(code)
