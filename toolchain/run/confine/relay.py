"""Progress as data: what a confined process shows and logs goes to the process that watches it, and is shown there."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from toolchain.run.progress import Advance, Progress

Send = Callable[[list[Any]], None]
"""Takes an event: its kind and what belongs to it, in JSON types."""

# Steps are sent at most so often: a person sees no more, and a loop of a thousand runs a second costs nothing.
_INTERVAL_S = 0.1


class RelayedProgress(Progress):
    """The progress of a confined process, which shows nothing itself."""

    def __init__(self, send: Send) -> None:
        super().__init__(stream=io.StringIO(), quiet=True)
        self._send = send
        self._count = 0
        self._counting = threading.Lock()

    @contextmanager
    def stage(self, name: str, *, cached: bool = False) -> Iterator[None]:
        """Name the stage that the block belongs to."""
        self._send(["stage", name, cached])
        try:
            yield
        except BaseException as error:
            self._send(["failed", str(error) or type(error).__name__])
            raise
        self._send(["done"])

    def steps(self, name: str, total: int) -> Advance:
        """Return what a loop of `total` steps calls after each of them."""
        with self._counting:
            self._count += 1
            number = self._count
        self._send(["steps", number, name, total])
        done = sent = 0
        sent_s = time.monotonic()

        def advance(count: int = 1) -> None:
            nonlocal done, sent, sent_s
            done += count
            now_s = time.monotonic()
            if done >= total or now_s - sent_s >= _INTERVAL_S:
                self._send(["advance", number, done - sent])
                sent, sent_s = done, now_s

        return advance

    def note(self, text: str) -> None:
        """Say what the user must know of the result."""
        self._send(["note", text])

    def log(self, event: str, **fields: Any) -> None:
        """Append one event to the log."""
        self._send(["log", event, json.loads(json.dumps(fields, default=str))])


class Replay:
    """Shows on one's own progress what another process relays."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages: list[AbstractContextManager[None]] = []
        self._steps: dict[int, Advance] = {}
        self._events: Mapping[str, Callable[..., None]] = {
            "stage": self._begin,
            "done": self._end,
            "failed": self._fail,
            "steps": self._start_steps,
            "advance": self._advance,
            "note": self._note,
            "log": self._log,
        }

    def show(self, kind: str, *values: Any) -> None:
        """Show an event; raises TypeError, ValueError or LookupError where it is none of progress, or malformed."""
        self._events[kind](*values)

    def abandon(self, error: BaseException) -> None:
        """End every stage that is open as failed: the process that was at it is gone."""
        while self._stages:
            self._stages.pop().__exit__(type(error), error, error.__traceback__)

    def _begin(self, name: object, cached: object) -> None:
        stage = self._progress.stage(str(name), cached=bool(cached))
        stage.__enter__()
        self._stages.append(stage)

    def _end(self) -> None:
        self._stages.pop().__exit__(None, None, None)

    def _fail(self, text: object) -> None:
        error = RuntimeError(str(text))
        self._stages.pop().__exit__(RuntimeError, error, None)

    def _start_steps(self, number: int, name: object, total: int) -> None:
        self._steps[int(number)] = self._progress.steps(str(name), int(total))

    def _advance(self, number: int, count: int) -> None:
        self._steps[number](int(count))

    def _note(self, text: object) -> None:
        self._progress.note(str(text))

    def _log(self, event: object, fields: Mapping[str, Any]) -> None:
        self._progress.log(str(event), **{name: value for name, value in fields.items() if name != "event"})
