"""Rows of a target that lie in files: read when they are taken, as pictures are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class FileRows:
    """An array `(N, ...)` to whoever asks for its shape, its type or some of its rows."""

    def __init__(
        self, paths: Sequence[Path], read: Callable[[Path], NDArray[Any]], *, shape: tuple[int, ...], dtype: Any
    ) -> None:
        """Take the file of each row, and what reads one as an array of this shape and type."""
        self._paths, self._read = paths, read
        self.shape, self.dtype = (len(paths), *shape), np.dtype(dtype)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: slice | NDArray[np.int64] | int) -> NDArray[Any]:
        if isinstance(rows, int | np.integer):
            return self._read(self._paths[rows])
        found = np.empty((0, *self.shape[1:]), dtype=self.dtype)
        with ThreadPoolExecutor() as pool:  # decoding runs outside the interpreter's lock
            read = list(pool.map(self._read, self.choose(rows)._paths))
        return np.stack(read) if read else found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - numpy's own
        """Return all rows, in memory."""
        del copy  # they are new ones
        return self[:].astype(dtype or self.dtype, copy=False)

    def choose(self, rows: slice | NDArray[np.int64]) -> FileRows:
        """Return some of the rows, unread."""
        paths = self._paths[rows] if isinstance(rows, slice) else [self._paths[int(row)] for row in rows]
        return FileRows(paths, self._read, shape=self.shape[1:], dtype=self.dtype)
