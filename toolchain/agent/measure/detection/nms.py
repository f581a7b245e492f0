"""Non-maximum suppression: of boxes that lie on one another, the one with the highest score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def suppress_overlaps(
    boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any], iou_max: float
) -> NDArray[np.int64]:
    """Return the places of the boxes (n, 4) that stay, from the highest score down, as torchvision's batched_nms.

    A box goes where a better one of its class shares more than iou_max of their union. Of equal scores the first comes
    first. A NaN shares nothing. Takes time n times what stays, so n has to be bounded (choose.py).
    """
    order = np.argsort(-scores, kind="stable")
    boxes, classes = boxes[order].astype(np.float32), classes[order]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = np.ones(len(order), bool)
    stays = []
    for place in range(len(order)):
        if not alive[place]:
            continue
        stays.append(place)
        rest = place + 1 + np.flatnonzero(alive[place + 1 :] & (classes[place + 1 :] == classes[place]))
        box, others = boxes[place], boxes[rest]
        sides = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None)
        shared = sides[:, 0] * sides[:, 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            alive[rest[shared / (areas[place] + areas[rest] - shared) > iou_max]] = False
    return order[np.array(stays, dtype=np.int64)]
