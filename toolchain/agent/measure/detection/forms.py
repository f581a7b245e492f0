"""Forms that boxes have in models, turned into corners: left, top, right, bottom in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMS = ("xyxy", "yxyx", "xywh", "cxcywh")


def make_corners(boxes: NDArray[Any], form: str) -> NDArray[Any]:
    """Return boxes (..., 4) of a form as corners: xywh has the left top corner and the size, cxcywh the middle and the size."""
    if form == "xyxy":
        return boxes
    if form == "yxyx":
        return boxes[..., [1, 0, 3, 2]]
    size = boxes[..., 2:]
    first = boxes[..., :2] if form == "xywh" else boxes[..., :2] - size / 2
    return np.concatenate([first, first + size], axis=-1)


def list_cells(height: int, width: int) -> NDArray[np.float32]:
    """Return x and y of the cells of a grid, row by row (height * width, 2)."""
    rows, columns = np.indices((height, width), dtype=np.float32)
    return np.stack([columns.reshape(-1), rows.reshape(-1)], axis=1)


def reach_out(middles: NDArray[Any], distances: NDArray[Any]) -> NDArray[Any]:
    """Return corners of middles (rows, 2) and the distances (n, rows, 4) to left, top, right and bottom."""
    return np.concatenate([middles - distances[..., :2], middles + distances[..., 2:]], axis=-1)
