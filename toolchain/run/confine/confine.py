"""Runs work that opens a model which nobody vouches for in one child process, under limits on memory, CPU and wall time.

The child is a fork: it costs milliseconds, and takes the work with everything that it refers to. What comes back is data:
lines of JSON of bounded length for progress, for what is told on the way, and for the result or the error.
"""

from __future__ import annotations

import json
import os
import selectors
import time
from collections.abc import Callable
from typing import Any

from toolchain.agent.temporary import TemporaryFolder
from toolchain.run.confine.child import Relay, Work
from toolchain.run.confine.ending import Endings, UnexpectedError
from toolchain.run.confine.limits import Limits
from toolchain.run.confine.process import ConfinedProcess
from toolchain.run.confine.relay import Replay
from toolchain.run.progress import Progress

__all__ = ["Relay", "UnexpectedError", "Work", "confine"]

# How often the child is looked at where it says nothing.
_LOOK_S = 0.05
# Of one line, such as the result, and of all of them. `compare --layers` of 10,000 tensors has 3 MB.
_LINE_MAX_BYTES = 32 * 2**20
_TOTAL_MAX_BYTES = 256 * 2**20
_CHUNK_BYTES = 2**16
# Of what the child prints, as much is shown and logged.
_OUTPUT_MAX_BYTES = 2**16
_RECENT_BYTES = 4096
# A step that takes no CPU time is not ended at its limit, because the machine may be busy; after so many times it is.
_IDLE_FACTOR = 20
# What is no step on the model is our own: imports, hashes, writing to a slow disk.
_OWN_LIMIT_S = 600.0
# What a child may take to end by itself once it has said its last word.
_LEAVE_S = 10.0

_LAST = ("result", "error", "exhausted", "module", "system", "unexpected")


def confine(
    work: Work,
    *,
    limits: Limits,
    progress: Progress,
    where: str,
    on_told: Callable[[Any], None] = lambda _: None,
) -> Any:
    """Return what the work returns, in JSON types; it runs in a child process under limits, and is gone afterwards.

    Args:
        work: is given the way to say how far it is. It may use all that this process has loaded, and changes nothing in it.
        limits: of memory, of one step (toolchain/run/confine/inside.py) and of everything.
        progress: where the work's is shown.
        where: the file that is opened, for messages.
        on_told: is given what the work tells on its way.

    Raises ToolchainError: that of the work; exit 23 where it exceeds a limit, crashes, or says what it should not. OSError
    and ModuleNotFoundError as the work raised them; UnexpectedError for its other exceptions. Whatever else ends the wait,
    such as KeyboardInterrupt, ends the child first.
    """
    with (
        TemporaryFolder() as folder,
        ConfinedProcess(work, limits, str(folder)) as process,
    ):
        watch = _Watch(process, limits, Endings(where=where, limits=limits), Replay(progress), progress, on_told)
        try:
            process.listen()
            return watch.wait()
        except BaseException as error:
            process.kill()
            watch.replay.abandon(error)
            raise


class _Watch:
    """Reads what a confined process says, and ends it where it goes too far."""

    def __init__(
        self,
        process: ConfinedProcess,
        limits: Limits,
        endings: Endings,
        replay: Replay,
        progress: Progress,
        on_told: Callable[[Any], None],
    ) -> None:
        self._process = process
        self._limits = limits
        self._endings = endings
        self.replay = replay
        self._progress = progress
        self._on_told = on_told
        self._line = bytearray()
        self._total_bytes = 0
        self._last: list[Any] | None = None
        self._printed = bytearray()
        self._printed_bytes = 0
        self._recent = b""
        self._started_s = time.monotonic()
        self._mark_s, self._mark_cpu_s = self._started_s, 0.0
        self._mark = (0, 0)

    def wait(self) -> Any:
        """Return the result, once the child has ended; raise for whatever else came of it."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.events, selectors.EVENT_READ, self._take_events)
            selector.register(self._process.output, selectors.EVENT_READ, self._take_output)
            while self._last is None:
                has_ended = self._process.has_ended()  # before what it said last is read
                if has_ended:
                    self._process.kill()  # what it started, and what might go on talking
                ready = selector.select(0 if has_ended else _LOOK_S)
                for key, _ in ready:
                    if not key.data(_read(key.fd)):
                        selector.unregister(key.fd)
                if has_ended and not ready:
                    break
                if self._last is None:
                    self._judge_time()
        self._leave()
        if self._last is None:
            raise self._endings.explain_death(self._process.read_signal(), self._process.board.read(), self._recent)
        return self._endings.open_last(self._last, self._process.board.read())

    def _leave(self) -> None:
        """Let a child that has said its last word end by itself: it may have something to write yet."""
        until_s = time.monotonic() + _LEAVE_S
        while not self._process.has_ended() and time.monotonic() < until_s:
            time.sleep(0.002)
            self._take_output(_read(self._process.output))
        if not self._process.has_ended():
            self._process.kill()
        while self._take_output(_read(self._process.output)):
            pass
        self._show_output(is_last=True)

    def _take_events(self, data: bytes) -> bool:
        """Take a part of what the child says; return whether there may be more."""
        self._total_bytes += len(data)
        first, *rest = data.split(b"\n")
        self._line += first
        for part in rest:
            self._take_line(bytes(self._line))
            self._line = bytearray(part)
        if len(self._line) > _LINE_MAX_BYTES or self._total_bytes > _TOTAL_MAX_BYTES:
            raise self._endings.refuse_words(
                f"more than {_LINE_MAX_BYTES} bytes in a line, or {_TOTAL_MAX_BYTES} in all"
            )
        return bool(data)

    def _take_line(self, line: bytes) -> None:
        if self._last is not None:
            return
        try:
            event = json.loads(line)
            kind = event[0]
            if kind in _LAST:
                self._last = event
            elif kind == "told":
                self._on_told(event[1])
            else:
                self.replay.show(*event)
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise self._endings.refuse_words(f"{type(error).__name__}: {error}") from error

    def _take_output(self, data: bytes) -> bool:
        self._printed += data[: max(0, _OUTPUT_MAX_BYTES - self._printed_bytes)]
        self._printed_bytes += len(data)
        self._recent = (self._recent + data)[-_RECENT_BYTES:]
        self._show_output(is_last=False)
        return bool(data)

    def _show_output(self, *, is_last: bool) -> None:
        *lines, rest = self._printed.decode("utf-8", "replace").split("\n")
        self._printed = bytearray(rest.encode("utf-8"))
        for line in [*lines, rest] if is_last and rest else lines:
            self._progress.show_output(line)

    def _judge_time(self) -> None:
        now_s = time.monotonic()
        if now_s - self._started_s > self._limits.total_limit_s:
            raise self._endings.refuse_total()
        steps = self._process.board.read()
        if (steps.begun, steps.ended) != self._mark:
            self._mark, self._mark_s = (steps.begun, steps.ended), now_s
            self._mark_cpu_s = self._process.read_cpu_s()
            return
        taken_s = now_s - self._mark_s
        if steps.begun <= steps.ended:
            if taken_s > max(_OWN_LIMIT_S, steps.limit_s):
                raise self._endings.refuse_silence(taken_s)
        elif taken_s > steps.limit_s:
            cpu_s = self._process.read_cpu_s() - self._mark_cpu_s
            if cpu_s > steps.limit_s or taken_s > _IDLE_FACTOR * steps.limit_s:
                raise self._endings.refuse_step(steps, taken_s)


def _read(descriptor: int) -> bytes:
    """Return what is there to be read; nothing where there is none, or no one to write any more."""
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except BlockingIOError:
        return b""
