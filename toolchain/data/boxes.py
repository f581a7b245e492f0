"""Boxes of objects as data sets of pictures hold them: checked against their picture, and moved with it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.preprocess.place import Placement
from toolchain.agent.measure.targets import Ragged
from toolchain.data.faults import Faults, Kind
from toolchain.data.open_picture import read_size
from toolchain.errors import ToolchainError

# Tools round to pixels, some count them from 1: 4 decimals of a fraction of 8192 pixels are off by 0.4.
_SLACK_PX = 1.0

_NOT_FINITE = Kind("a box that is no numbers", "write finite numbers")
_NO_AREA = Kind("a box without an area", "correct the box, or remove it")
_OUTSIDE = Kind("a box outside of its picture", "correct the box, or bring the labels of these pictures")
UNREADABLE = Kind("a picture that cannot be read", "copy the picture again, or remove it with its labels")


class Boxes:
    """The boxes of a part of a data set, in the order of their pictures once they are sorted."""

    def __init__(self) -> None:
        self._corners, self._classes, self._pictures = array("d"), array("q"), array("q")

    def add(self, corners: Sequence[float], *, number: int, picture: int) -> None:
        """Add one: x1, y1, x2, y2 in pixels of its picture, its class, and which picture it is in."""
        self._corners.extend(corners)
        self._classes.append(number)
        self._pictures.append(picture)

    def __len__(self) -> int:
        return len(self._classes)

    def sort(self) -> NDArray[np.int64]:
        """Return the numbers of the boxes in the order of their pictures, those of one picture as they were added."""
        return np.argsort(np.frombuffer(self._pictures, dtype=np.int64), kind="stable").astype(np.int64)

    def make_targets(
        self, placements: Sequence[Placement], order: NDArray[np.int64]
    ) -> tuple[Ragged, Ragged, NDArray[np.int64]]:
        """Return boxes in pixels of the input, their classes, and the picture of each row."""
        pictures = np.frombuffer(self._pictures, dtype=np.int64)[order]
        corners = np.frombuffer(self._corners, dtype=np.float64).reshape(-1, 4)[order]
        scale, shift = stack_placements(placements)
        moved = corners * np.tile(scale, 2)[pictures] + np.tile(shift, 2)[pictures]
        offsets = count_offsets(pictures, len(placements))
        classes = np.frombuffer(self._classes, dtype=np.int64)[order]
        return (
            Ragged(values=moved.astype(np.float32), offsets=offsets),
            Ragged(values=classes, offsets=offsets),
            pictures,
        )


def stack_placements(placements: Sequence[Placement]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scale and the left upper corner of each picture in the input, `(N, 2)` both."""
    scale = np.array([at.scale for at in placements]).reshape(-1, 2)
    shift = np.array([(at.left, at.top) for at in placements], dtype=np.float64).reshape(-1, 2)
    return scale, shift


def count_offsets(pictures: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return where the rows of each picture begin, `(count + 1,)`, of rows that are sorted by picture."""
    return np.concatenate([[0], np.cumsum(np.bincount(pictures, minlength=count))]).astype(np.int64)


def is_box(corners: Sequence[float], *, width: int, height: int, place: str, faults: Faults) -> bool:
    """Return whether x1, y1, x2, y2 are a box in a picture of this size; what is wrong goes to the faults."""
    left, top, right, bottom = corners
    kind, expected = None, ""
    if not all(map(math.isfinite, corners)):
        kind, expected = _NOT_FINITE, "4 finite numbers"
    elif right <= left or bottom <= top:
        kind, expected = _NO_AREA, "a width and a height above 0"
    elif min(left, top) < -_SLACK_PX or right > width + _SLACK_PX or bottom > height + _SLACK_PX:
        kind, expected = _OUTSIDE, f"within {width}x{height}"
    if kind is not None:
        found = ", ".join(f"{value:.6g}" for value in corners)
        faults.add(kind, place, expected=expected, found=f"{found} (left, top, right, bottom)")
    return kind is None


def measure_picture(path: Path, faults: Faults) -> tuple[int, int] | None:
    """Return the width and height of a picture; one that cannot be read goes to the faults, and is None."""
    try:
        return read_size(path)
    except ToolchainError as error:
        faults.add(UNREADABLE, str(path), expected=error.expected or "a picture", found=error.found or error.what)
        return None
