"""Rows of a target that are drawn or read when they are asked for, such as masks: all at once would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DrawnRows:
    """An array `(N, ...)` to whoever asks for its shape, its type or some of its rows."""

    def __init__(
        self, sources: Sequence[Any], draw: Callable[[Any], NDArray[Any]], *, shape: tuple[int, ...], dtype: Any
    ) -> None:
        """Take what each row is made of, a number or a file, and what makes it as an array of this shape and type."""
        self._sources, self._draw = sources, draw
        self.shape, self.dtype = (len(sources), *shape), np.dtype(dtype)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, rows: slice | NDArray[np.int64] | int) -> NDArray[Any]:
        if isinstance(rows, int | np.integer):
            return self._draw(self._sources[rows])
        chosen = self.choose(rows)
        with ThreadPoolExecutor() as pool:  # a picture is decoded outside of the interpreter's lock
            drawn = list(pool.map(self._draw, chosen._sources))
        return np.stack(drawn) if drawn else np.empty(chosen.shape, dtype=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - numpy's own
        """Return all rows, in memory."""
        del copy  # they are new ones
        return self[:].astype(dtype or self.dtype, copy=False)

    def choose(self, rows: slice | NDArray[np.int64]) -> DrawnRows:
        """Return some of the rows, not made yet."""
        sources = self._sources[rows] if isinstance(rows, slice) else [self._sources[int(row)] for row in rows]
        return DrawnRows(sources, self._draw, shape=self.shape[1:], dtype=self.dtype)
