"""Writes .npy files batch by batch, so that an evaluation set never lies in memory as a whole."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class ArrayWriter:
    """A .npy file of (samples, *row), to which batches (n, *row) are added; the first one sets the row and the dtype.

    It writes instead of mapping the file: on a full disk a write raises OSError, where a mapped page kills the process.
    """

    def __init__(self, path: Path, samples: int) -> None:
        self._samples = samples
        self._written = 0
        self._row: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] | None = None
        self._file: BinaryIO = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, batch: NDArray[Any]) -> None:
        """Write a batch; raises ValueError where its dtype or row differs from the first one's."""
        if self._dtype is None:
            self._row, self._dtype = batch.shape[1:], batch.dtype
            # Little-endian on every board that there is a runtime for.
            header = {"descr": npy.dtype_to_descr(batch.dtype), "fortran_order": False}
            npy.write_array_header_1_0(self._file, {**header, "shape": (self._samples, *self._row)})
        if batch.dtype != self._dtype or batch.shape[1:] != self._row:
            message = f"a batch is {batch.dtype} {batch.shape[1:]}, the first one was {self._dtype} {self._row}"
            raise ValueError(message)
        self._file.write(np.ascontiguousarray(batch).tobytes())
        self._written += batch.shape[0]

    def finish(self) -> None:
        """Check that every sample came; raises ValueError where the count differs."""
        if self._written != self._samples:
            message = f"{self._written} samples were written, {self._samples} announced"
            raise ValueError(message)
