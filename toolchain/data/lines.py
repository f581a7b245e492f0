"""Lines of a text file, one after another: in UTF-8, none of them endless."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from toolchain.errors import malformed, missing
from toolchain.run.regular_file import open_regular

# A row of 10,000 numbers has a fifth of it.
_LINE_MAX = 1 << 20


def stream_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their ends, as Python's csv wants them.

    Raises ToolchainError: no such file (exit 3), one that is no text of lines in UTF-8 (exit 23).
    """
    number = 0
    try:
        with open_regular(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            while line := text.readline(_LINE_MAX + 1):
                number += 1
                _check_length(line)
                yield line
    except FileNotFoundError as error:
        raise missing(f"there is no file {path}", fix="correct the path in data.options of the recipe") from error
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise malformed(
            "the text cannot be read",
            where=f"{path}, line {number}" if number else str(path),
            expected=f"lines of up to {_LINE_MAX:,} characters in UTF-8",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            fix="write it again as UTF-8",
        ) from error


def _check_length(line: str) -> None:
    if len(line) > _LINE_MAX:
        raise ValueError(f"a line of more than {_LINE_MAX:,} characters")
