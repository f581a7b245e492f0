"""Rows of a target that are made when they are asked for, such as masks: all of them at once would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DrawnRows:
    """An array `(N, ...)` to whoever asks for its shape, its type or some of its rows."""

    def __init__(
        self, indices: Sequence[int], draw: Callable[[int], NDArray[Any]], *, shape: tuple[int, ...], dtype: Any
    ) -> None:
        """Take the number of each row, and what makes one as an array of this shape and type."""
        self._indices, self._draw = indices, draw
        self.shape, self.dtype = (len(indices), *shape), np.dtype(dtype)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: slice | NDArray[np.int64] | int) -> NDArray[Any]:
        if isinstance(rows, int | np.integer):
            return self._draw(self._indices[rows])
        chosen = self.choose(rows)
        drawn = [self._draw(index) for index in chosen._indices]
        return np.stack(drawn) if drawn else np.empty(chosen.shape, dtype=self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 - numpy's own
        """Return all rows, in memory."""
        del copy  # they are new ones
        return self[:].astype(dtype or self.dtype, copy=False)

    def choose(self, rows: slice | NDArray[np.int64]) -> DrawnRows:
        """Return some of the rows, not made yet."""
        indices = self._indices[rows] if isinstance(rows, slice) else [self._indices[int(row)] for row in rows]
        return DrawnRows(indices, self._draw, shape=self.shape[1:], dtype=self.dtype)
