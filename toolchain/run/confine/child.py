"""The confined side: a forked process that runs the work under limits, and says everything as lines of JSON."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from toolchain.errors import ToolchainError
from toolchain.run.confine import inside
from toolchain.run.confine.limits import Limits
from toolchain.run.confine.relay import RelayedProgress
from toolchain.run.progress import Progress

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG (prctl(2))

INTERRUPTS = (signal.SIGINT,)
"""What waits while a process is forked."""

# What Python, C++ and ONNX Runtime say of memory that they do not get.
_NO_MEMORY = ("bad_alloc", "MemoryError", "Failed to allocate memory", "Cannot allocate memory", "out of memory")


class Relay:
    """What the work is given: progress, and a way to tell its caller something at once, in JSON types."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._writing = threading.Lock()
        self.progress: Progress = RelayedProgress(self.send)

    def send(self, event: list[Any]) -> None:
        """Send one event; raises ValueError for what JSON does not have."""
        line = json.dumps(event, allow_nan=True).encode("ascii") + b"\n"
        with self._writing:
            while line:
                line = line[os.write(self._descriptor, line) :]

    def tell(self, value: Any) -> None:
        """Tell the caller a value that matters even where the work ends in an error."""
        self.send(["told", value])


Work = Callable[[Relay], Any]
"""Returns JSON types."""


@dataclass(frozen=True, kw_only=True)
class Ends:
    """The ends of the pipes that a confined process writes to, and the folder for its temporary files."""

    events: int
    output: int
    folder: str
    parent: int


def run_confined(work: Work, *, limits: Limits, board: inside.StepBoard, ends: Ends) -> NoReturn:
    """Run the work in this process, which was forked for it, and end it; nothing of the parent's runs on."""
    relay = Relay(ends.events)
    try:
        _leave_parent(ends)
        inside.enter(board, limits)
        relay.send(["result", work(relay)])
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it, and go on alone
        _tell_error(relay, error)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(0)


def _leave_parent(ends: Ends) -> None:
    """Take a session of our own, end with the parent, and take neither its terminal nor its temporary files."""
    os.setsid()
    ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != ends.parent:  # it ended before we said so
        os._exit(0)
    faulthandler.disable()  # it would write where the parent has its own
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for descriptor in (1, 2):
        os.dup2(ends.output, descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stderr = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ["TMPDIR"] = tempfile.tempdir = ends.folder


def _tell_error(relay: Relay, error: BaseException) -> None:
    if _lacks_memory(error):
        relay.send(["exhausted", "memory", _describe(error)])
    elif isinstance(error, RecursionError):
        relay.send(["exhausted", "nesting", _describe(error)])
    elif isinstance(error, ToolchainError):
        relay.send(["error", error.to_dict()])
    elif isinstance(error, ModuleNotFoundError):
        relay.send(["module", str(error), error.name])
    elif isinstance(error, OSError):
        name = error.filename if isinstance(error.filename, (str, type(None))) else os.fsdecode(Path(error.filename))
        relay.send(["system", error.errno, error.strerror, name])
    else:
        relay.send(["unexpected", _describe(error), "".join(traceback.format_exception(error))])


def _describe(error: BaseException) -> str:
    if isinstance(error, ToolchainError):
        return error.found or error.what
    return f"{type(error).__name__}: {error}"


def _lacks_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if not isinstance(error, (ToolchainError, RuntimeError)):
        return False
    text = f"{error}"
    return any(phrase in text for phrase in _NO_MEMORY)
