"""The rows of a CSV file with a header (RFC 4180), one after another; broken ones go to the faults."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.data.faults import Faults, Kind, clip
from toolchain.data.lines import stream_lines
from toolchain.errors import suggest_name, usage

_BROKEN = Kind("a row that is no CSV", "quote cells with separators or line ends, and double the quotes in them")
_CELLS = Kind(
    "a row of another number of cells than the header", "add the cells that are missing, or quote the separator"
)
_NO_NUMBER = Kind("a cell that is no number", "write a finite number, or leave the row out")
_NO_FLAG = Kind("a cell that is neither 0 nor 1", "write 1 where the sample is not normal, and 0 where it is")
_FLAGS = ("0", "1")
_NO_CLASS = Kind("a class beyond the names", "correct the cell, or add the name to data.options.classes")
_NO_CLASS_NUMBER = Kind(
    "a class that is no number", "write numbers from 0, or name the classes in data.options.classes"
)
# What programs write in countries where the comma is in numbers, and tables of tabs.
_SEPARATORS = (";", "\t", "|")
# Of a table that somebody has looked at; a row of them is a tenth of the longest line.
_CELLS_MAX = 1 << 15
# The largest that float32 holds.
_FLOAT_MAX = 3.4028234663852886e38
# int64_t.
_CLASS_MAX = 2**63 - 1


@dataclass(frozen=True)
class Row:
    """A row, and where it begins."""

    place: str
    line: int
    cells: Sequence[str]


class CsvRows:
    """A CSV file whose header is read."""

    def __init__(self, path: Path, delimiter: str, faults: Faults) -> None:
        """Read the header; raises ToolchainError (exit 2) for none, or one that names a column twice."""
        self._path, self._faults = path, faults
        self._reader = csv.reader(stream_lines(path), delimiter=delimiter, strict=True)
        self.header = next((list(row.cells) for row in self._read()), [])
        twice = [name for name, count in Counter(self.header).items() if count > 1]
        if not self.header or twice or len(self.header) >= _CELLS_MAX:
            faults.refuse()
            raise usage(
                "the CSV has no header of columns",
                where=str(path),
                expected=f"a first row with the names of up to {_CELLS_MAX:,} columns, each of them once",
                found=f"the name {clip(twice[0])!r} twice" if twice else f"{len(self.header)} cells",
                fix="write the names of the columns into the first row",
            )
        other = next((mark for mark in _SEPARATORS if mark in self.header[0] and len(self.header) == 1), None)
        if other is not None:
            faults.refuse()
            raise usage(
                "the CSV has one column, whose name holds another separator",
                where=str(path),
                expected=f"columns that {delimiter!r} separates",
                found=clip(self.header[0]),
                fix=f"set data.options.delimiter = {json.dumps(other)}",
            )

    def find_columns(self, names: Sequence[str], *, option: str) -> list[int]:
        """Return where columns stand; raises ToolchainError (exit 2) for one that is not there."""
        places = {name: index for index, name in enumerate(self.header)}
        for name in names:
            if name not in places:
                raise usage(
                    f"the CSV has no column {name}",
                    where=str(self._path),
                    expected=", ".join(self.header[:10]),
                    found=name,
                    fix="take the spaces around the names out of the first row"
                    if name in map(str.strip, self.header)
                    else suggest_name(name, self.header, otherwise=f"correct data.options.{option}, or add the column"),
                )
        return [places[name] for name in names]

    def read(self) -> Iterator[Row]:
        """Yield the rows that have as many cells as the header."""
        for row in self._read():
            if len(row.cells) == len(self.header):
                yield row
            else:
                self._faults.add(_CELLS, row.place, expected=f"{len(self.header)} cells", found=f"{len(row.cells)}")

    def read_number(self, row: Row, column: int) -> float | None:
        """Return a cell as a number; one that is none goes to the faults, and is None."""
        text = row.cells[column]
        try:
            # Python takes underscores, and digits of every script.
            number = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            number = math.nan
        if abs(number) <= _FLOAT_MAX:
            return number
        self._add(_NO_NUMBER, row, column, expected="a finite number of float32")
        return None

    def read_flag(self, row: Row, column: int) -> int | None:
        """Return 0 or 1; a cell that is neither goes to the faults, and is None."""
        text = row.cells[column].strip()
        if text in _FLAGS:
            return int(text)
        self._add(_NO_FLAG, row, column, expected="0 or 1")
        return None

    def read_class(self, row: Row, column: int, classes: Sequence[str] | None) -> int | None:
        """Return the number of the class in a cell, by its name where there are names; none goes to the faults."""
        text = row.cells[column].strip()
        if classes is not None:
            if text in classes:
                return classes.index(text)
            self._add(_NO_CLASS, row, column, expected=f"one of {', '.join(classes)}")
        elif text.isascii() and text.isdecimal() and len(text) <= len(str(_CLASS_MAX)) and int(text) <= _CLASS_MAX:
            return int(text)
        else:
            self._add(_NO_CLASS_NUMBER, row, column, expected="a whole number from 0")
        return None

    def _add(self, kind: Kind, row: Row, column: int, *, expected: str) -> None:
        place = f"{row.place}, column {self.header[column][:40]}"
        self._faults.add(kind, place, expected=expected, found=row.cells[column] or "nothing")

    def _read(self) -> Iterator[Row]:
        """Yield the rows that are not blank."""
        while True:
            line = self._reader.line_num + 1
            place = f"{self._path}, line {line}"
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._faults.add(_BROKEN, place, expected="cells of up to 131,072 characters", found=str(error))
                continue
            if cells:
                yield Row(place=place, line=line, cells=cells)
