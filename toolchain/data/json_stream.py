"""JSON files of any size, read item by item: an object of lists, of which no more than one item is held."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolchain.agent.decode import join_pairs
from toolchain.errors import malformed, missing
from toolchain.run.regular_file import open_regular

# The outline of a crowd in COCO, the largest of its items, has 50 KB. 4 MB of "[],[],…" take 90 MB as lists.
_ITEM_MAX = 4 << 20
_CHUNK = 1 << 18
_BLANKS = " \t\r\n"


def stream_items(path: Path) -> Iterator[tuple[str, int, Any]]:
    """Yield the key of a list, the number of an item in it from 0, and the item, of the object that a file holds.

    What its keys hold besides lists is passed over. NaN and infinity, which Python's json writes, are floats.

    Raises ToolchainError: no such file (exit 3), one that is no such JSON in UTF-8 (exit 23).
    """
    try:
        with open_regular(path) as file:
            yield from _Text(io.TextIOWrapper(file, encoding="utf-8-sig")).read_object()
    except FileNotFoundError as error:
        raise missing(f"there is no file {path}", fix="correct the path in data.options of the recipe") from error
    # ValueError: no JSON, no UTF-8, a key twice, a number of thousands of digits. RecursionError: lists within lists.
    except (ValueError, RecursionError, OSError) as error:
        raise malformed(
            "the JSON cannot be read",
            where=str(path),
            expected=f"an object of lists in UTF-8, with items of up to {_ITEM_MAX >> 20} MiB",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            fix="write the file again, with a tool that writes JSON",
        ) from error


class _Text:
    """What of a text is not read yet; errors are ValueErrors."""

    def __init__(self, file: io.TextIOBase) -> None:
        self._file = file
        self._text, self._position, self._passed = "", 0, 0
        self._is_whole = False
        self._decoder = json.JSONDecoder(object_pairs_hook=join_pairs)

    def read_object(self) -> Iterator[tuple[str, int, Any]]:
        self._expect("{")
        seen: set[str] = set()
        is_more = self._peek() != "}"
        while is_more:
            if self._peek() != '"':
                raise self._refuse("no key")
            key = self._read_value()
            if key in seen:
                raise self._refuse(f"the key {key[:80]!r} a second time")
            seen.add(key)
            self._expect(":")
            if self._peek() == "[":
                yield from self._read_list(key)
            else:
                self._read_value()
            is_more = self._is_followed()
        self._expect("}")
        if self._peek():
            raise self._refuse("more behind the end")

    def _read_list(self, key: str) -> Iterator[tuple[str, int, Any]]:
        self._expect("[")
        number, is_more = 0, self._peek() != "]"
        while is_more:
            yield key, number, self._read_value()
            number += 1
            is_more = self._is_followed()
        self._expect("]")

    def _is_followed(self) -> bool:
        if self._peek() != ",":
            return False
        self._expect(",")
        return True

    def _expect(self, letter: str) -> None:
        if self._peek() != letter:
            raise self._refuse(f"no {letter!r}")
        self._position += 1

    def _peek(self) -> str:
        """Return the next letter that is no blank; "" at the end."""
        while True:
            while self._position < len(self._text) and self._text[self._position] in _BLANKS:
                self._position += 1
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_on():
                return ""

    def _read_value(self) -> Any:
        while True:
            self._peek()
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                # It may be half a value: then the rest is to come.
                length = error.pos - self._position
                if self._read_on():
                    continue
                self._position += length
                raise self._refuse(error.msg) from error
            length = end - self._position
            # A number may go on, from 1 to 1e+5.
            if len(self._text) - end >= len("e+5") or not self._read_on():
                self._position += length
                return value

    def _read_on(self) -> bool:
        """Read more, twice as much each time a value is not whole; return whether there was any."""
        rest = self._text[self._position :]
        if self._is_whole:
            return False
        if len(rest) > _ITEM_MAX:
            raise self._refuse(f"a value of more than {_ITEM_MAX:,} characters, or none")
        more = self._file.read(max(_CHUNK, len(rest)))
        self._is_whole = not more
        self._passed += self._position
        self._text, self._position = rest + more, 0
        return bool(more)

    def _refuse(self, found: str) -> ValueError:
        return ValueError(f"{found} at character {self._passed + self._position:,}")
