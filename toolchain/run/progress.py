"""Shows how far a run is, and keeps its event log: one JSON object a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from toolchain.agent.printable import escape_line
from toolchain.errors import ToolchainError, storage
from toolchain.run.screen import Screen, print_above

LINE_INTERVAL_S = 3.0
"""Least time between two plain lines of one loop: a log of a long run stays short enough to read."""


class Advance(Protocol):
    """Says that `count` more steps are done."""

    def __call__(self, count: int = 1) -> None:
        """Move on by `count` steps."""


class Progress:
    """Progress of one run: bars on a terminal, plain lines elsewhere, nothing when quiet; events in a file always.

    Use it as a context manager, so that the bars are gone and the file is closed when the run ends.
    """

    def __init__(
        self,
        *,
        stream: TextIO,
        log_path: Path | None = None,
        quiet: bool = False,
        read_clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin the event log anew.

        Args:
            stream: where a person looks, standard error as a rule.
            log_path: the event log; None keeps none.
            quiet: show nothing.
            read_clock_s: the clock that paces plain lines and times stages, in seconds.

        Raises:
            ToolchainError: the log cannot be written (exit 14).
        """
        self._screen = Screen(stream)
        self._quiet = quiet
        self._read_clock_s = read_clock_s
        self._stage: str | None = None
        self._bars: Bars | None = None
        self._loops: list[_Loop] = []
        self._above = ExitStack()
        self._shows_bars = self._screen.console.is_interactive and not quiet
        self._log: FileIO | None = None
        if log_path is not None:
            try:
                # Without a buffer, a full disk is noticed at the write and not again at the close.
                self._log = FileIO(log_path, "w")
            except OSError as error:
                raise storage(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove_bars()
        if self._log is not None:
            self._log.close()
            self._log = None

    @contextmanager
    def stage(self, name: str, *, cached: bool = False) -> Iterator[None]:
        """Name the stage that the block belongs to; log its start and its end or failure, and show one line."""
        outer, self._stage = self._stage, name
        start_s = self._read_clock_s()
        self.log("start", cached=cached)
        if self._shows_bars and not cached:
            self._advance_bar(name, None)
        try:
            yield
        except BaseException as error:
            # A log that cannot be written must not hide what stopped the run.
            with suppress(ToolchainError):
                self.log("failed", duration_s=self._elapsed_s(start_s), error=str(error) or type(error).__name__)
            self._remove_bars()
            self._loops.clear()
            self._show(f"{name}: failed")
            raise
        else:
            self._end_loops()
            duration_s = self._elapsed_s(start_s)
            self.log("end", duration_s=duration_s, cached=cached)
            self._remove_bars()
            self._show(f"{name}: {'cached' if cached else f'{duration_s:.1f} s'}")
        finally:
            self._stage = outer

    def steps(self, name: str, total: int) -> Advance:
        """Return what a loop of `total` steps calls after each of them."""
        if self._quiet:
            return _advance_silently
        if self._shows_bars:
            return self._advance_bar(name, total)
        return self._advance_lines(name, total)

    def note(self, text: str) -> None:
        """Say what the user must know of the result; it is no progress, and is said even when quiet."""
        self.log("note", text=text)
        self._remove_bars()
        self._screen.line(f"note: {text}")

    def show_output(self, text: str) -> None:
        """Show and log a line that a process of ours printed."""
        self.log("output", text=text)
        self._remove_bars()
        self._show(text)

    def log(self, event: str, **fields: Any) -> None:
        """Append one event to the log: time, stage, event and the fields, which are JSON types or become text."""
        if self._log is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": now, "stage": self._stage, "event": event, **fields}, default=str) + "\n"
        try:
            rest = line.encode()
            while rest:
                rest = rest[self._log.write(rest) :]
        except OSError as error:
            raise storage(OSError(error.errno, error.strerror, str(self._log.name))) from error

    def _elapsed_s(self, start_s: float) -> float:
        return round(self._read_clock_s() - start_s, 6)

    def _show(self, line: str) -> None:
        if not self._quiet:
            self._screen.line(line)

    def _advance_bar(self, name: str, total: int | None) -> Advance:
        bars = self._bars
        if bars is None:
            bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._screen.console,
                transient=True,
                # What others print would reach the console unescaped.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bars = bars
            bars.start()
            self._above.enter_context(print_above(self._screen.console))
        task: TaskID = bars.add_task(escape_line(name), total=total)

        def advance(count: int = 1) -> None:
            bars.advance(task, count)

        return advance

    def _remove_bars(self) -> None:
        if self._bars is not None:
            self._above.close()
            self._bars.stop()
            self._bars = None

    def _advance_lines(self, name: str, total: int) -> Advance:
        loop = _Loop(name=name, total=total)
        self._loops.append(loop)
        shown_s = self._read_clock_s()

        def advance(count: int = 1) -> None:
            nonlocal shown_s
            loop.done = min(loop.done + count, total)
            now_s = self._read_clock_s()
            is_due = now_s - shown_s >= LINE_INTERVAL_S
            if loop.shown < loop.done and (is_due or (loop.shown and loop.done == total)):
                shown_s, loop.shown = now_s, loop.done
                self._show(f"{name}: {loop.done}/{total}")

        return advance

    def _end_loops(self) -> None:
        """Say of loops that ended before their total that they did; of one that showed nothing, nothing.

        As the stage ends and not before: one loop may go on within another.
        """
        for loop in self._loops:
            if loop.shown and loop.done < loop.total:
                self._show(f"{loop.name}: ended after {loop.done} of {loop.total}")
        self._loops.clear()


@dataclass
class _Loop:
    """A loop that is shown in plain lines: what is done of it, and how much of that a line has told."""

    name: str
    total: int
    done: int = 0
    shown: int = 0


def show_steps(progress: Progress) -> Callable[[str, int, int], None]:
    """Return what turns the agent's progress (step, done, total) into steps of ours."""
    shown: dict[str, tuple[Advance, int]] = {}

    def show(step: str, done: int, total: int) -> None:
        known = shown.get(step)
        # A step that begins again, as a latency that others disturbed, is another loop.
        advance, before = known if known is not None and done >= known[1] else (progress.steps(step, total), 0)
        shown[step] = (advance, done)
        if done > before:
            advance(done - before)

    return show


def _advance_silently(count: int = 1) -> None:
    """Show nothing."""
