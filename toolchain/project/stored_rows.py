"""An array that stays in its file: what is taken of it is read then, so that many samples take no memory."""

from __future__ import annotations

import math
import os
from io import BufferedReader
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import malformed


class StoredRows:
    """An array `(N, …)` in a file, row behind row, of which rows are taken as of one in memory."""

    def __init__(
        self, file: BufferedReader, path: Path, *, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> None:
        """Keep the open file; the array begins at `offset`, in bytes, and is all there."""
        self.dtype, self.shape, self.ndim = dtype, shape, len(shape)
        self._file, self._path, self._offset = file, path, offset
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self._state = self._read_state()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64] | EllipsisType) -> NDArray[Any]:
        """Return the rows of a slice without a step, at the indices `(n,)`, or all.

        Raises ToolchainError (exit 23) where the file has changed since it was opened.
        """
        if rows is ...:
            return self._read(0, len(self))
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step != 1:
                raise ValueError(f"rows are taken one after the other, not in steps of {step}")
            return self._read(start, max(start, stop))
        taken: NDArray[Any] = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows.tolist()):
            taken[place] = self._read(row, row + 1)[0]
        return taken

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows {start} to {stop} of {len(self)}")
        rows: NDArray[Any] = np.empty((stop - start, *self.shape[1:]), self.dtype)
        content = memoryview(rows.reshape(-1).view(np.uint8).data)
        at, end = 0, len(content)
        while at < end and (count := self._read_into(content[at:], self._offset + start * self._row_bytes + at)):
            at += count
        if at < end or self._read_state() != self._state:
            raise malformed(
                "the file changed while it was read",
                where=str(self._path),
                fix="wait until what writes it has ended, and start again",
            )
        return rows

    def _read_into(self, content: memoryview, position: int) -> int:
        # Of a position of its own, as several threads and processes read the same file.
        return os.preadv(self._file.fileno(), [content], position)

    def _read_state(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns
