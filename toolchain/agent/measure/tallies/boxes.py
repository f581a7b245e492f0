"""Boxes of pictures: read, and compared by what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

import numpy as np
from numpy.typing import NDArray

from ..metrics import Outputs, Targets, take_output, take_target
from ..parts import INTEGERS, NUMBERS, expect_equal_rows, expect_ragged, expect_samples, refuse_part
from ..targets import Ragged
from .matches import Matches

BOXES, SCORES, CLASSES, CROWD = "boxes", "scores", "classes", "crowd"
DECODERS = "yolo, ssd, boxes or detections"


@dataclass(frozen=True)
class Picture:
    """The detections of a picture and its truth; boxes are (rows, 4): left, top, right, bottom."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    classes: NDArray[Any]
    true_boxes: NDArray[Any]
    true_classes: NDArray[Any]
    crowd: NDArray[np.bool_]


def measure_ious(boxes: NDArray[Any], others: NDArray[Any], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return intersection over union (n, m) of boxes (n, 4) and others (m, 4); of a crowd, over the box alone.

    A box without an area shares nothing; a NaN stays one.
    """
    first, second = boxes.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.clip(sides, 0.0, None).prod(axis=2)
    areas = [np.clip(array[..., 2:] - array[..., :2], 0.0, None).prod(axis=2) for array in (first, second)]
    whole = np.where(crowd, areas[0], areas[0] + areas[1] - shared)
    with np.errstate(invalid="ignore", divide="ignore"):
        ious: NDArray[np.float64] = np.where(whole == 0.0, 0.0, shared / whole)
    return ious


def read_crowd(name: str, targets: Targets, truth: Ragged) -> NDArray[np.bool_]:
    """Return which rows of the truth are crowds (rows,); without that target none. Raises ToolchainError (exit 23)."""
    if CROWD not in targets:
        return np.zeros(len(truth.values), bool)
    where = f"targets: {CROWD}"
    crowd = expect_ragged(name, targets[CROWD], where, (None,), "biu")
    expect_equal_rows(name, truth, crowd, where)
    flags: NDArray[np.bool_] = crowd.values.astype(bool)
    return flags


def read_pictures(name: str, outputs: Outputs, targets: Targets) -> Iterator[Picture]:
    """Yield the pictures of a batch; raises ToolchainError (exit 23)."""
    true_boxes = expect_ragged(name, take_target(name, targets, BOXES), f"targets: {BOXES}", (None, 4), NUMBERS)
    true_classes = expect_ragged(name, take_target(name, targets, CLASSES), f"targets: {CLASSES}", (None,), INTEGERS)
    expect_equal_rows(name, true_boxes, true_classes, f"targets: {CLASSES}")
    if len(true_classes.values) and int(true_classes.values.min()) < 0:
        where, fix = f"targets: {CLASSES}", "correct the classes"
        raise refuse_part(name, where, expected="class numbers from 0", found=f"{true_classes.values.min()}", fix=fix)
    corners = true_boxes.values
    if not bool((np.isfinite(corners).all(axis=1) & (corners[:, 2:] >= corners[:, :2]).all(axis=1)).all()):
        expected = "finite left, top, right, bottom, in this order"
        raise refuse_part(name, f"targets: {BOXES}", expected=expected, found="others", fix="correct the boxes")
    crowd = Ragged(values=read_crowd(name, targets, true_boxes), offsets=true_boxes.offsets)
    parts = {}
    for output, shape, kinds in ((BOXES, (None, 4), NUMBERS), (SCORES, (None,), NUMBERS), (CLASSES, (None,), INTEGERS)):
        where = f"the output {output}"
        parts[output] = expect_ragged(name, take_output(name, outputs, output, DECODERS), where, shape, kinds)
        expect_equal_rows(name, parts[BOXES], parts[output], where)
    expect_samples(name, parts[BOXES], len(true_boxes), f"the output {BOXES}")
    for index in range(len(true_boxes)):
        yield Picture(
            boxes=parts[BOXES].read(index),
            scores=parts[SCORES].read(index),
            classes=parts[CLASSES].read(index),
            true_boxes=true_boxes.read(index),
            true_classes=true_classes.read(index),
            crowd=crowd.read(index),
        )


class BoxMatches(Matches):
    """Matches of boxes, picture by picture."""

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add boxes, scores and classes, all ragged, and boxes, classes and crowd flags, ragged too."""
        for picture in read_pictures(self._name, outputs, targets):
            self._add_picture(picture)

    def _add_picture(self, picture: Picture) -> None:
        def compare(found: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.float64]:
            return measure_ious(picture.boxes[found], picture.true_boxes[true], picture.crowd[true])

        self.add_sample(
            scores=picture.scores,
            classes=picture.classes,
            true_classes=picture.true_classes,
            crowd=picture.crowd,
            compare=compare,
        )
