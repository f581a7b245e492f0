"""Arrays of few different values, kept as the numbers of their values: pictures as the bytes that they came as.

A picture of 8 bits that was scaled and normalized to float32 still has at most 256 values in each channel. `levels` holds
them, bit for bit, and the array holds which one it is: a quarter of float32, and nothing is computed to get them back.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError

# As many as a byte tells apart.
LEVELS_MAX = 256


def find_levels_path(path: str) -> str:
    """Return where the levels of a golden array lie, if it has any: golden/input-0.levels.npy beside golden/input-0.npy."""
    return str(PurePosixPath(path).with_suffix(".levels.npy"))


def expand_levels(numbers: NDArray[Any], levels: NDArray[Any]) -> NDArray[Any]:
    """Return the values (n, *row), or of one sample (*row), whose numbers are given.

    levels is (*axes, count): axes are as many as the row has, each 1 where all of it has the same levels. Numbers have 1
    where they are the same all along an axis of levels: a grey picture in three channels, each normalized in its own way.
    """
    return levels[(*np.indices(levels.shape[:-1], sparse=True), numbers)]  # type: ignore[no-any-return]


class LevelArray:
    """An array (samples, *row) in this form, of which parts are read as if it had all its values."""

    def __init__(self, numbers: NDArray[Any], levels: NDArray[Any], where: str) -> None:
        """Check that both fit; raises ToolchainError (exit 23).

        Args:
            numbers: uint8 (samples, *row), an axis of the row may be 1; mapped from its file.
            levels: see expand_levels; in memory.
            where: the path of the numbers, for errors.
        """
        axes, row = levels.shape[:-1], numbers.shape[1:]
        fits = numbers.dtype == np.uint8 and 1 <= levels.ndim == numbers.ndim and 1 <= levels.shape[-1] <= LEVELS_MAX
        pairs = [(axes[index], size) for index, size in enumerate(row)] if fits else []
        if not fits or any(own != size and 1 not in (own, size) for own, size in pairs):
            found = f"{numbers.dtype} {numbers.shape} and {levels.shape}"
            expected = f"uint8 numbers, and up to {LEVELS_MAX} levels along their axes"
            what, fix = "a golden array does not fit its levels", "write the bundle again"
            raise ToolchainError(ExitCode.MALFORMED, what, where=where, expected=expected, found=found, fix=fix)
        self._numbers = numbers
        self._levels = levels
        self._where = where
        self.dtype = levels.dtype
        self.shape: Tuple[int, ...] = (numbers.shape[0], *(size if own == 1 else own for own, size in pairs))
        self.ndim = numbers.ndim

    def __getitem__(self, part: Union[int, slice]) -> NDArray[Any]:
        """Return a sample (*row) or some of them (n, *row); raises ToolchainError (exit 23) for a level that is not there."""
        numbers = np.asarray(self._numbers[part])
        count = self._levels.shape[-1]
        if numbers.size and numbers.max() >= count:
            what, fix = "a golden array names a level that is not there", "write the bundle again"
            expected, found = f"numbers below {count}", str(numbers.max())
            raise ToolchainError(ExitCode.MALFORMED, what, where=self._where, expected=expected, found=found, fix=fix)
        return expand_levels(numbers, self._levels)
