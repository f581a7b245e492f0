"""The detections of pictures: boxes whose score is high enough, of which none lies on a better one of its class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Tuple

import numpy as np
from numpy.typing import NDArray

from ..targets import Ragged, TargetArray
from .nms import suppress_overlaps

MADE = ("boxes", "scores", "classes")
"""What decoders of detectors make, all Ragged: (rows, 4) left, top, right, bottom in pixels; (rows,); (rows,)."""
_CANDIDATES_MAX = 30_000


@dataclass(frozen=True)
class Choice:
    """Which boxes are detections; decoders of detectors have these options besides their own."""

    threshold: float = 0.05
    """Scores above it. mAP needs low ones too: 0.05 is that of torchvision's RetinaNet."""
    iou_max: float = 0.5
    """Of two boxes of a class that share more of their union, the worse goes."""
    candidates: int = 1000
    """So many of the highest scores go into suppression, whose time they bound (torchvision's FCOS: 1000 a level)."""
    detections: int = 100
    """So many stay in a picture (COCO)."""
    best_class: bool = False
    """Whether a box is of its best class alone, or of each class with a score above the threshold."""
    clip: Tuple[int, ...] = ()
    """Height and width of the picture that boxes end at; none ends them nowhere."""

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= _CANDIDATES_MAX or self.detections < 1:
            message = f"candidates from 1 to {_CANDIDATES_MAX}, detections of 1 or more"
            raise ValueError(message)
        if not 0.0 <= self.iou_max <= 1.0:
            message = "iou_max from 0 to 1"
            raise ValueError(message)
        if len(self.clip) not in (0, 2) or min(self.clip, default=1) < 1:
            message = "clip = [height, width]"
            raise ValueError(message)


def choose_detections(boxes: NDArray[Any], scores: NDArray[Any], choice: Choice) -> Dict[str, TargetArray]:
    """Return the detections of boxes (n, rows, 4) and scores (n, rows, classes); a NaN score is none."""
    return join_pictures(_choose_of_picture(*pair, choice) for pair in zip(boxes, scores))  # noqa: B905 - Python 3.8


def _choose_of_picture(
    boxes: NDArray[Any], scores: NDArray[Any], choice: Choice
) -> Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    with np.errstate(invalid="ignore"):
        enough = scores > choice.threshold
    if choice.best_class and scores.shape[1]:
        best = np.where(enough, scores, -np.inf).argmax(axis=1)
        enough &= np.arange(scores.shape[1]) == best[:, None]
    rows, classes = np.nonzero(enough)
    found = scores[rows, classes]
    order = np.argsort(-found, kind="stable")[: choice.candidates]
    rows, classes, found = rows[order], classes[order], found[order]
    chosen = clip_boxes(boxes[rows], choice)
    stays = suppress_overlaps(chosen, found, classes, choice.iou_max)[: choice.detections]
    return chosen[stays], found[stays], classes[stays]


def clip_boxes(boxes: NDArray[Any], choice: Choice) -> NDArray[Any]:
    """Return boxes (rows, 4) that end where the picture does; NaN stays NaN."""
    if not choice.clip:
        return boxes
    height, width = choice.clip
    clipped: NDArray[Any] = np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))
    return clipped


def join_pictures(
    pictures: Iterable[Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]],
) -> Dict[str, TargetArray]:
    """Return boxes (rows, 4), scores (rows,) and classes (rows,) of each picture as ragged ones of all."""
    parts: List[Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = list(pictures)
    offsets = np.cumsum([0, *(len(boxes) for boxes, _, _ in parts)], dtype=np.int64)
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    kinds = (np.float32, np.float32, np.int64)
    joined = [
        np.concatenate([empty[index], *(part[index] for part in parts)]).astype(kind)
        for index, kind in enumerate(kinds)
    ]
    return {name: Ragged(values=values, offsets=offsets) for name, values in zip(MADE, joined)}  # noqa: B905 - Python 3.8
