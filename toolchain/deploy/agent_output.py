"""Reads what an agent prints: one JSON object on stdout, progress lines on stderr."""

from __future__ import annotations

import json
import re
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from toolchain.agent.decode import decode, parse_json
from toolchain.deploy.patience import Patience
from toolchain.deploy.transport import AgentResult, OnProgress
from toolchain.errors import ExitCode, ToolchainError, malformed

# Enough for the end of a traceback.
_KEPT_LINES = 20
_KEPT_CHARACTERS = 2000
# A step has the name of what is done and of a payload; a bundle has a dozen of them.
_STEP_CHARACTERS_MAX = 500
_STEPS_MAX = 256
# What a parsed answer may take of memory, for as long as it is read: 3.6 million latency samples.
_MEMORY_BYTES_MAX = 190_000_000
# Of CPython 3.11 to 3.14: what a character of JSON may stand for at most, and the text itself twice.
_MEMORY_BYTES = {b",": 32, b"[": 64, b"{": 240, b":": 150, b'"': 15}
# Half of a character that makes Python keep four bytes for every other one of the text.
_WIDE = re.compile(rb"\\u[dD][89a-fA-F]")
_WIDE_BYTES_MAX = 1 << 20


class StderrReader:
    """Takes an agent's stderr line by line: progress is reported at once, the end of everything else is kept.

    `patience` is that with a board; None for an agent of ours on this machine.
    """

    def __init__(self, on_progress: OnProgress, patience: Patience | None = None) -> None:
        self._on_progress = on_progress
        self._patience = patience
        self._others: deque[str] = deque(maxlen=_KEPT_LINES)
        self._done: dict[str, int] = {}

    def add_line(self, line: str) -> None:
        """Take a line; raises ToolchainError: exit 23 for progress that is none, and for too many signs of life."""
        if not line.startswith("{"):
            self._keep(line)
            return
        try:
            event = json.loads(line)
            if event.get("event") == "alive":  # of loader.py: nothing but a sign of life
                if self._patience is not None:
                    self._patience.note_sign()
                return
            step, done, total = event["step"], event["done"], event["total"]
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ):  # what a runtime or an interpreter writes beside our lines
            self._keep(line)
        else:
            if self._is_progress(step, done, total):
                self._report(step, done, total)
            elif event.get("event") == "progress":
                raise malformed(
                    "the agent tells progress that is none",
                    expected=f"a step, done ≤ total, of at most {_STEPS_MAX} steps",
                    found=line[:_STEP_CHARACTERS_MAX].rstrip("\n"),
                    fix="look at the board: its agent, or something in its place, counts what nobody does",
                )
            else:
                self._keep(line)

    def _is_progress(self, step: object, done: object, total: object) -> bool:
        # Shown to people, and counted with: a board may say anything.
        if type(step) is not str or not step.isprintable() or len(step) > _STEP_CHARACTERS_MAX:
            return False
        is_known = step in self._done or len(self._done) < _STEPS_MAX
        return is_known and type(done) is int and type(total) is int and 0 <= done <= total < 2**63

    def _report(self, step: str, done: int, total: int) -> None:
        # Less than before is a measurement that is made again.
        if self._done.get(step) != done and self._patience is not None:
            self._patience.note_progress()
        self._done[step] = done
        self._on_progress(step, done, total)

    def _keep(self, line: str) -> None:
        self._others.append(line.rstrip("\n")[:_KEPT_CHARACTERS])

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


def read_agent_output(return_code: int, stdout: str | bytes, stderr: str) -> AgentResult:
    """Return what an agent said, or raise what it reported.

    return_code is subprocess's: negative for a signal. An agent that was killed or said nothing is exit 1; one that says
    what cannot be read, or ended with another exit code than its words have, is exit 23.
    """
    document = read_agent_document(return_code, stdout, stderr)
    try:
        error = _read_error(document)
    except (ValueError, ToolchainError) as cause:  # no error of ours, or one with the exit code of none
        raise _refuse(f"exit code {return_code}", stderr) from cause
    claimed = document.get("exit_code", int(ExitCode.PROVEN)) if error is None else int(error.code)
    if type(claimed) is not int or claimed != return_code:
        found = repr(claimed)[:_KEPT_CHARACTERS]
        raise _refuse(f"exit code {return_code}, but {found} in its JSON", stderr)
    if error is not None:
        raise error
    return AgentResult(exit_code=return_code, document=document)


def read_agent_document(return_code: int, stdout: str | bytes, stderr: str) -> Mapping[str, Any]:
    """Return the JSON that an agent printed, an error that it reports too; raises as read_agent_output without one."""
    if return_code < 0:
        names = {item.value: item.name for item in signal.Signals}
        found = f"killed by {names.get(-return_code, f'signal {-return_code}')}"
        fix = "look for what killed it: SIGKILL often is the kernel out of memory, SIGSEGV a payload that breaks the runtime"
        raise _died(found, stderr, fix)
    if not stdout.strip():
        raise _died(f"exit code {return_code}", stderr, "run the agent by hand and read its stderr")
    try:
        document = parse_answer(stdout if isinstance(stdout, bytes) else stdout.encode("utf-8"), "stdout")
    except ToolchainError as cause:
        raise _refuse(f"exit code {return_code}, and {cause.found}", stderr) from cause
    if not isinstance(document, dict):
        raise _refuse(f"exit code {return_code}, and no JSON object", stderr)
    return document


def parse_answer(data: bytes, where: str) -> object:
    """Return what a line of strict JSON says; raises ToolchainError (exit 23), for one that would fill the memory too."""
    if _estimate_memory_bytes(data) > _MEMORY_BYTES_MAX:
        raise malformed(
            "the answer has more parts than any has",
            where=where,
            expected=f"what takes at most {_MEMORY_BYTES_MAX >> 20} MiB of memory",
            found=f"{len(data):,} bytes of JSON",
            fix="look at the board; with --latency-limit-s it measures less",
        )
    return parse_json(data, where)


def _estimate_memory_bytes(data: bytes) -> int:
    # Before anything is parsed: three bytes of JSON may become sixty-four of Python.
    if len(data) > _WIDE_BYTES_MAX and (not data.isascii() or _WIDE.search(data)):  # our agents write ASCII
        return _MEMORY_BYTES_MAX + 1
    return 2 * len(data) + sum(data.count(character) * size_bytes for character, size_bytes in _MEMORY_BYTES.items())
