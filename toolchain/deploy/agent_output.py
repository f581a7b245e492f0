"""Reads what an agent prints: one JSON object on stdout, progress lines on stderr."""

from __future__ import annotations

import json
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from toolchain.agent.decode import decode, parse_json
from toolchain.deploy.transport import AgentResult, OnProgress
from toolchain.errors import ExitCode, ToolchainError, malformed

# Enough for the end of a traceback.
_KEPT_LINES = 20


class StderrReader:
    """Takes an agent's stderr line by line: progress is reported at once, the end of everything else is kept."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._others: deque[str] = deque(maxlen=_KEPT_LINES)

    def add_line(self, line: str) -> None:
        try:
            event = json.loads(line)
            if event.get("event") == "alive":  # of loader.py: nothing but a sign of life
                return
            step, done, total = event["step"], event["done"], event["total"]
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ):  # what a runtime or an interpreter writes beside our lines
            self._others.append(line.rstrip("\n"))
        else:
            # Shown to people, and counted with: a board may say anything.
            is_name = isinstance(step, str) and step.isprintable()
            if is_name and type(done) is int and type(total) is int:
                self._on_progress(step, done, total)
            else:
                self._others.append(line.rstrip("\n"))

    @property
    def others(self) -> str:
        """The last lines that were no progress."""
        return "\n".join(self._others)


def follow_progress(lines: Iterable[str], on_progress: OnProgress) -> str:
    """Report progress lines as they come, and return the last of the other lines."""
    reader = StderrReader(on_progress)
    for line in lines:
        reader.add_line(line)
    return reader.others


@dataclass(frozen=True)
class _Error:
    """What ToolchainError.to_dict returned on the other side."""

    code: int
    what: str
    where: str | None
    expected: str | None
    found: str | None
    fix: str | None


def _died(found: str, stderr: str, fix: str) -> ToolchainError:
    last_line = stderr.rpartition("\n")[2]
    return ToolchainError(
        ExitCode.UNEXPECTED,
        "the agent did not finish",
        expected="a JSON object on stdout",
        found=f"{found}{': ' if last_line else ''}{last_line}",
        fix=fix,
    )


def _refuse(found: str, stderr: str) -> ToolchainError:
    last_line = stderr.rpartition("\n")[2]
    return malformed(
        "what the agent answered cannot be read",
        expected="one JSON object, with the exit code that it ended with",
        found=f"{found}{': ' if last_line else ''}{last_line}",
        fix="run the agent by hand and read its stderr; on a board, look for something in its place",
    )


def _read_error(document: Mapping[str, Any]) -> ToolchainError | None:
    if document.get("error") is None:
        return None
    error = cast("_Error", decode(_Error, document["error"], "error"))
    return ToolchainError(
        ExitCode(error.code), error.what, where=error.where, expected=error.expected, found=error.found, fix=error.fix
    )


def read_agent_output(return_code: int, stdout: str, stderr: str) -> AgentResult:
    """Return what an agent said, or raise what it reported.

    return_code is subprocess's: negative for a signal. An agent that was killed or said nothing is exit 1; one that says
    what cannot be read, or ended with another exit code than its words have, is exit 23.
    """
    document = read_agent_document(return_code, stdout, stderr)
    try:
        error = _read_error(document)
    except (ValueError, ToolchainError) as cause:  # no error of ours, or one with the exit code of none
        raise _refuse(f"exit code {return_code}", stderr) from cause
    if error is not None:
        raise error
    claimed = document.get("exit_code", int(ExitCode.PROVEN))
    if type(claimed) is not int or claimed != return_code:
        raise _refuse(f"exit code {return_code}, but {claimed!r} in its JSON", stderr)
    return AgentResult(exit_code=return_code, document=document)


def read_agent_document(return_code: int, stdout: str, stderr: str) -> Mapping[str, Any]:
    """Return the JSON that an agent printed, an error that it reports too; raises as read_agent_output without one."""
    if return_code < 0:
        names = {item.value: item.name for item in signal.Signals}
        found = f"killed by {names.get(-return_code, f'signal {-return_code}')}"
        fix = "look for what killed it: SIGKILL often is the kernel out of memory, SIGSEGV a payload that breaks the runtime"
        raise _died(found, stderr, fix)
    if not stdout.strip():
        raise _died(f"exit code {return_code}", stderr, "run the agent by hand and read its stderr")
    try:
        document = parse_json(stdout.encode("utf-8"), "stdout")
    except ToolchainError as cause:
        raise _refuse(f"exit code {return_code}, and {cause.found}", stderr) from cause
    if not isinstance(document, dict):
        raise _refuse(f"exit code {return_code}, and no JSON object", stderr)
    return document
