"""Reads what an agent prints: one JSON object on stdout, progress lines on stderr."""

from __future__ import annotations

import json
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from toolchain.deploy.transport import AgentResult, OnProgress
from toolchain.errors import ExitCode, ToolchainError

# Enough for the end of a traceback.
_KEPT_LINES = 20
_ERROR_FIELDS = ("what", "where", "expected", "found", "fix")


def follow_progress(lines: Iterable[str], on_progress: OnProgress) -> str:
    """Report progress lines as they come, and return the last of the other lines."""
    others: deque[str] = deque(maxlen=_KEPT_LINES)
    for line in lines:
        try:
            event = json.loads(line)
            step, done, total = event["step"], event["done"], event["total"]
        except (ValueError, KeyError, TypeError):  # what a runtime or an interpreter writes beside our lines
            others.append(line.rstrip("\n"))
        else:
            on_progress(step, done, total)
    return "\n".join(others)


def _died(found: str, stderr: str, fix: str) -> ToolchainError:
    last_line = stderr.rpartition("\n")[2]
    return ToolchainError(
        ExitCode.UNEXPECTED,
        "the agent did not finish",
        expected="a JSON object on stdout",
        found=f"{found}{': ' if last_line else ''}{last_line}",
        fix=fix,
    )


def _read_error(document: Mapping[str, Any]) -> ToolchainError | None:
    error = document.get("error")
    if error is None:
        return None
    return ToolchainError(ExitCode(error["code"]), **{name: error[name] for name in _ERROR_FIELDS})


def read_agent_output(return_code: int, stdout: str, stderr: str) -> AgentResult:
    """Return what an agent said, or raise what it reported.

    return_code is subprocess's: negative for a signal. An agent that was killed, that said nothing, or whose exit code
    contradicts its verdict, is exit 1.
    """
    if return_code < 0:
        names = {item.value: item.name for item in signal.Signals}
        found = f"killed by {names.get(-return_code, f'signal {-return_code}')}"
        fix = "look for what killed it: SIGKILL often is the kernel out of memory, SIGSEGV a payload that breaks the runtime"
        raise _died(found, stderr, fix)
    fix = "run the agent by hand and read its stderr"
    try:
        document = json.loads(stdout)
        error = _read_error(document)
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        raise _died(f"exit code {return_code}", stderr, fix) from cause
    if error is not None:
        raise error
    claimed = document.get("exit_code", ExitCode.PROVEN)
    if claimed != return_code:
        raise _died(f"exit code {return_code}, but {claimed} in its JSON", stderr, fix)
    return AgentResult(exit_code=return_code, document=document)
