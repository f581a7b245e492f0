"""What people read on a stream: every text is escaped here, whoever writes it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import TextIOBase
from typing import IO, TextIO, cast

from rich import box
from rich.console import Console, JustifyMethod
from rich.file_proxy import FileProxy
from rich.table import Table
from rich.text import Text

from toolchain.agent.measure.quantities import EN_DASH, TIMES
from toolchain.agent.printable import escape_line, escape_lines
from toolchain.errors import ToolchainError

_ASCII = str.maketrans({TIMES: "x", "≤": "<=", "≥": ">=", EN_DASH: "-", "\N{MINUS SIGN}": "-", "…": "...", "·": "-"})

# Characters of a column beside a long name: a narrower one would be unreadable, so it leaves the screen.
_ROOM_MIN = 20

Cell = tuple[str, str]
"""A text and its style."""


class Screen:
    """A stream that takes any text: what steers or hides is escaped, what its encoding lacks is replaced.

    Without colour where the stream is no terminal. No markup is known: brackets are brackets.
    """

    def __init__(self, stream: TextIO, *, width: int | None = None, width_max: int | None = None) -> None:
        """Take a stream; width is of paragraphs and tables in characters, the terminal's as a rule, or at most width_max."""
        self._stream = stream.raw if isinstance(stream, EscapedStream) else stream
        self.console = Console(file=self._stream, width=width, markup=False, highlight=False, emoji=False)
        if width_max is not None:
            self.console.width = min(self.console.width, width_max)

    def line(self, text: str = "") -> None:
        """Print one line, however long: newlines within it are escaped."""
        self._stream.write(self._fit(escape_line(text)) + "\n")
        self._stream.flush()

    def lines(self, text: str) -> None:
        """Print text that is laid out in lines and holds nothing of others."""
        self._stream.write(self._fit(escape_lines(text.removesuffix("\n"))) + "\n")
        self._stream.flush()

    def error(self, error: ToolchainError) -> None:
        """Print the message of an error: what, where and the fix, a line each."""
        self.lines(str(error))

    def paragraph(self, text: str = "", style: str = "") -> None:
        """Print a text in lines of the screen's width."""
        self.console.print(self._style(text, style))

    def pairs(self, rows: Sequence[tuple[str, str]], style: str = "") -> None:
        """Print name and value a line, the names dim and in one column; empty values are left out."""
        table = Table.grid(padding=(0, 2))
        table.add_column(width=11, overflow="fold")
        table.add_column(overflow="fold")
        for name, value in rows:
            if value:
                table.add_row(self._style(name, "dim"), self._style(value, style))
        if table.row_count:
            self.console.print(table)

    def named(self, name: str, text: str, *, width: int) -> None:
        """Print a name in a column of a width and a text beside it, which goes on below itself on a terminal."""
        room = max(_ROOM_MIN, self.console.width - width - 2)
        is_long = self.console.is_terminal and len(text) > room
        parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) if is_long else [text]
        for number, part in enumerate(parts):
            self.line(f"{'' if number else name:<{width}}  {part}")

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, numbers: int) -> None:
        """Print a table; a cell is (text, style), and the last columns are numbers."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
        for index, head in enumerate(heads):
            justify: JustifyMethod = "right" if index >= len(heads) - numbers else "left"
            table.add_column(self._style(head), justify=justify, overflow="fold")
        for row in rows:
            table.add_row(*(self._style(value, style) for value, style in row))
        self.console.print(table)

    def plain_table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table without lines, of names in the first column and numbers in the others."""
        table = Table(box=None, pad_edge=False)
        for index, head in enumerate(heads):
            justify: JustifyMethod = "right" if index else "left"
            table.add_column(self._style(head), justify=justify, overflow="fold", no_wrap=index > 0)
        for row in rows:
            table.add_row(*map(self._style, row))
        self.console.print(table)

    def _style(self, text: str, style: str = "") -> Text:
        return Text(self._fit(escape_line(text)), style=style)

    def _fit(self, text: str) -> str:
        """Return what the stream's encoding has signs for."""
        encoding = self.console.encoding
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
        return text


class EscapedStream(TextIOBase):
    """A stream for whatever libraries and models print: text is escaped, a carriage return begins a new line.

    It says that it is no terminal, so that nobody sends colours. A Screen on it writes to the stream itself.
    """

    def __init__(self, raw: TextIO) -> None:
        super().__init__()
        self.raw = raw

    def write(self, text: str) -> int:
        """Write the text escaped; returns its length."""
        shown = escape_lines(text.replace("\r\n", "\n").replace("\r", "\n"))
        encoding = self.raw.encoding or "utf-8"
        self.raw.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.raw.flush()

    def fileno(self) -> int:
        """Return the stream's descriptor, for other processes."""
        return self.raw.fileno()

    def isatty(self) -> bool:
        """Return that it is no terminal."""
        return False

    @property
    def buffer(self) -> IO[bytes]:
        """The stream's own."""
        return self.raw.buffer


@contextmanager
def escape_stderr() -> Iterator[None]:
    """Let whatever writes to sys.stderr within the block, such as warnings of libraries, write to an EscapedStream."""
    if isinstance(sys.stderr, EscapedStream):
        yield
        return
    with redirect_stderr(cast(TextIO, EscapedStream(sys.stderr))):
        yield


@contextmanager
def print_above(console: Console) -> Iterator[None]:
    """Let what an EscapedStream on sys.stderr gets within the block appear above the bars of a console."""
    stream = sys.stderr
    if not isinstance(stream, EscapedStream):
        yield
        return
    below, stream.raw = stream.raw, cast(TextIO, FileProxy(console, stream.raw))
    try:
        yield
    finally:
        stream.raw.flush()
        stream.raw = below
