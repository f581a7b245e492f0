"""Where a frame comes to lie in a payload's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError

# Of a side of a frame that is cropped: 16,384 wide at one pixel high for an input of 64, and no array of gigabytes.
_RESIZED_MAX = 1 << 20


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in the input: its left upper corner, and its size there, in pixels of the input.

    Of a crop the corner is outside: left and top are 0 or less, and the frame is larger than the input.
    """

    left: int
    top: int
    width: int
    height: int
    source_width: int
    source_height: int

    @property
    def scale(self) -> NDArray[np.float64]:
        """Pixels of the input for one of the frame, `(2,)`: to the right and down."""
        return np.array([self.width / self.source_width, self.height / self.source_height])

    def move_points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points x, y `(..., 2)` of the frame lie in the input."""
        moved: NDArray[np.float64] = points * self.scale + (self.left, self.top)
        return moved

    def restore_boxes(self, boxes: NDArray[Any]) -> NDArray[np.float32]:
        """Return boxes left, top, right, bottom `(rows, 4)` of the input in pixels of the frame, ending where it does.

        In float64: (x - left) * (source_width / width), then cut to 0 ... source_width, then rounded to float32. The
        fraction is that of the sizes as they were rounded, and no other: by the unrounded one, boxes are off by a pixel.
        A NaN stays one.
        """
        sizes = np.array([self.source_width, self.source_height], dtype=np.float64)
        fraction = sizes / np.array([self.width, self.height], dtype=np.float64)
        corner = np.array([self.left, self.top], dtype=np.float64)
        restored = (boxes.astype(np.float64).reshape(-1, 2, 2) - corner) * fraction
        return np.clip(restored, 0.0, sizes).astype(np.float32).reshape(-1, 4)

    def restore_mask(self, mask: NDArray[Any], *, unseen: int) -> NDArray[Any]:
        """Return class numbers (height, width) of the input as those of the frame (source_height, source_width).

        A pixel takes the number of that which its middle falls on; those of a frame that a crop left out are `unseen`.
        """
        rows = self.top + (2 * np.arange(self.source_height) + 1) * self.height // (2 * self.source_height)
        columns = self.left + (2 * np.arange(self.source_width) + 1) * self.width // (2 * self.source_width)
        restored = np.full((self.source_height, self.source_width), unseen, dtype=mask.dtype)
        seen_rows = np.flatnonzero((rows >= 0) & (rows < mask.shape[0]))
        seen_columns = np.flatnonzero((columns >= 0) & (columns < mask.shape[1]))
        restored[np.ix_(seen_rows, seen_columns)] = mask[np.ix_(rows[seen_rows], columns[seen_columns])]
        return restored


def place_frame(
    source_width: int, source_height: int, *, width: int, height: int, resize: str, crop_share: float = 1.0
) -> Placement:
    """Return where a frame of a size comes to lie in an input of another, by a policy of ../../sensor.py.

    Raises ToolchainError (exit 2) for a frame that is empty, and where the policy is none and the sizes differ.
    """
    if min(source_width, source_height) < 1:
        raise _refuse("the frame is empty", "at least one pixel", source_width, source_height)
    if resize == "none" and (source_width, source_height) != (width, height):
        raise _refuse("the frame has another size", f"{width}x{height}", source_width, source_height)
    wide, high = width, height
    if resize == "letterbox":
        scale = min(width / source_width, height / source_height)
        wide = min(width, max(1, round(source_width * scale)))
        high = min(height, max(1, round(source_height * scale)))
    elif resize == "crop":
        scale = max(width / source_width, height / source_height) / crop_share
        wide = max(width, round(source_width * scale))
        high = max(height, round(source_height * scale))
        if max(wide, high) > _RESIZED_MAX:
            raise _refuse(
                "the frame is too narrow to be cut", f"less than {_RESIZED_MAX} pixels once resized", wide, high
            )
    # Of a crop the rest is negative: what is cut away on the left is the smaller half of it, as it is with a letterbox.
    return Placement(
        left=(width - wide) // 2 if wide <= width else -((wide - width) // 2),
        top=(height - high) // 2 if high <= height else -((high - height) // 2),
        width=wide,
        height=high,
        source_width=source_width,
        source_height=source_height,
    )


def _refuse(what: str, expected: str, width: int, height: int) -> ToolchainError:
    fix = "give frames of that size, or let the recipe say how to resize them"
    found = f"{width}x{height}"
    return ToolchainError(ExitCode.USAGE, what, where="frame", expected=expected, found=found, fix=fix)
