"""mAP of COCO for points: average precision over OKS 0.50 to 0.95, where OKS is how near the points of a person lie.

pycocotools' COCOeval("keypoints"), stats[0]: at most 20 detections in a picture, what lies in a crowd counts for nothing;
of equal scores none comes before the other. A person without a visible point counts for nothing, and with boxes nor does the
detection that lies in twice their box, as there. A detection with a NaN is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..parts import NUMBERS, expect_equal_rows, expect_ragged, expect_samples, refuse_part
from ..scale import FRACTION
from ..tallies.boxes import BOXES, CROWD, SCORES, read_crowd
from ..tallies.matches import Matches
from ..targets import Ragged, TargetArray
from . import Outputs, Tally, Targets, take_output, take_target

POINTS, AREAS = "points", "areas"
SCALE = FRACTION
OUTPUTS = (POINTS, SCORES)
TARGETS = (POINTS, AREAS)
OPTIONAL_TARGETS = (CROWD, BOXES)
_NAME, _DECODERS = "oks_map", "heat_maps or points"
# Of COCO's 17 points, from the nose to the ankles (COCOeval's Params.kpt_oks_sigmas).
_COCO = (
    0.026,
    0.025,
    0.025,
    0.035,
    0.035,
    0.079,
    0.079,
    0.072,
    0.072,
    0.062,
    0.062,
    0.107,
    0.107,
    0.087,
    0.087,
    0.089,
    0.089,
)


@dataclass(frozen=True)
class Options:
    """How far people themselves are off."""

    sigmas: Tuple[float, ...] = _COCO
    """The standard deviation of each point, in shares of the root of the area."""

    def __post_init__(self) -> None:
        if not self.sigmas or not min(self.sigmas) > 0.0:
            message = "a sigma above 0 for each point"
            raise ValueError(message)


def measure_oks(
    found: NDArray[Any], true: NDArray[Any], areas: NDArray[Any], boxes: NDArray[Any], sigmas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return OKS (found, true) of points (found, points, >= 2) and (true, points, 3) on areas (true,); NaN stays one.

    Of a person without a visible point, a point is as far away as it lies beyond twice the box (true, 4).
    """
    places = found[:, None, :, :2].astype(np.float64)
    low, high = boxes[:, None, :2].astype(np.float64), boxes[:, None, 2:].astype(np.float64)
    size = high - low
    beyond = np.maximum(0.0, low - size - places) + np.maximum(0.0, places - (high + size))
    hidden: NDArray[np.bool_] = np.all(~(true[..., 2] > 0), axis=1)
    away = np.where(hidden[:, None, None], beyond, places - true[None, :, :, :2].astype(np.float64))
    exponents = np.square(away).sum(axis=3) / np.square(2 * sigmas) / (areas[:, None] + np.spacing(1)) / 2
    visible = (true[..., 2] > 0) | hidden[:, None]
    nearness = np.where(visible, np.exp(-exponents), 0.0)
    oks: NDArray[np.float64] = nearness.sum(axis=2) / visible.sum(axis=1)
    return oks


@dataclass(frozen=True)
class _Persons:
    """Those of a sample, who are to be found."""

    points: NDArray[Any]
    areas: NDArray[Any]
    boxes: NDArray[Any]
    crowd: NDArray[np.bool_]


def _read_boxes(targets: Targets, true: Ragged) -> Optional[NDArray[Any]]:
    """Return the box of each person (rows, 4), left, top, right, bottom; None where the data have none."""
    if BOXES not in targets:
        return None
    where = f"targets: {BOXES}"
    boxes = expect_ragged(_NAME, _list_persons(targets[BOXES], 2), where, (None, 4), NUMBERS)
    expect_equal_rows(_NAME, true, boxes, where)
    if not bool(np.isfinite(boxes.values).all()):
        raise refuse_part(_NAME, where, expected="finite numbers", found="NaN or infinity", fix="correct the boxes")
    return boxes.values


def _list_persons(rows: TargetArray, axes: int) -> TargetArray:
    """Return an array with one person a sample as ragged rows."""
    if isinstance(rows, Ragged) or rows.ndim != axes:
        return rows
    return Ragged(values=rows, offsets=np.arange(len(rows) + 1, dtype=np.int64))


class _Found(Matches):
    def __init__(self, options: Options) -> None:
        super().__init__(_NAME, places=20)
        self._sigmas = np.array(options.sigmas)

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add points and scores of persons, and points (rows, points, 3), areas, crowd flags and boxes: ragged, or one a sample."""
        count, where = len(self._sigmas), f"targets: {POINTS}"
        true = expect_ragged(
            _NAME, _list_persons(take_target(_NAME, targets, POINTS), 3), where, (None, count, 3), NUMBERS
        )
        areas = expect_ragged(
            _NAME, _list_persons(take_target(_NAME, targets, AREAS), 1), f"targets: {AREAS}", (None,), NUMBERS
        )
        expect_equal_rows(_NAME, true, areas, f"targets: {AREAS}")
        if not bool((np.isfinite(areas.values) & (areas.values > 0)).all()):
            raise refuse_part(
                _NAME, f"targets: {AREAS}", expected="areas above 0", found="others", fix="correct the areas"
            )
        if not bool(np.isfinite(true.values).all()):
            raise refuse_part(
                _NAME, where, expected="finite numbers", found="NaN or infinity", fix="correct the points"
            )
        crowd = read_crowd(_NAME, targets, true)
        output = f"the output {POINTS}"
        answer = _list_persons(take_output(_NAME, outputs, POINTS, _DECODERS), 3)
        found = expect_ragged(_NAME, answer, output, (None, count, None), NUMBERS)
        if found.values.shape[2] not in (2, 3):
            raise refuse_part(_NAME, output, expected="x, y and perhaps a score", found=str(found.values.shape[2]))
        given = _list_persons(take_output(_NAME, outputs, SCORES, _DECODERS), 1)
        scores = expect_ragged(_NAME, given, f"the output {SCORES}", (None,), NUMBERS)
        expect_equal_rows(_NAME, found, scores, f"the output {SCORES}")
        expect_samples(_NAME, found, len(true), output)
        boxes, seen = _read_boxes(targets, true), np.any(true.values[..., 2] > 0, axis=1)
        for index in range(len(true)):
            rows = np.arange(true.offsets[index], true.offsets[index + 1])
            if boxes is None:
                rows = rows[seen[rows]]
            persons = _Persons(
                points=true.values[rows],
                areas=areas.values[rows],
                boxes=np.zeros((len(rows), 4)) if boxes is None else boxes[rows],
                crowd=crowd[rows],
            )
            self._add_persons(found.read(index), scores.read(index), persons)

    def _add_persons(self, found: NDArray[Any], scores: NDArray[Any], true: _Persons) -> None:
        def compare(chosen: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[np.float64]:
            return measure_oks(
                found[chosen], true.points[members], true.areas[members], true.boxes[members], self._sigmas
            )

        self.add_sample(
            scores=scores,
            classes=np.zeros(len(scores), np.int64),
            true_classes=np.zeros(len(true.areas), np.int64),
            crowd=true.crowd,
            compare=compare,
            left_out=~np.any(true.points[..., 2] > 0, axis=1),
        )

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the mean over thresholds."""
        return self.measure_precision(counts)


def start(options: Options) -> Tally:
    """Return a tally of nothing."""
    return _Found(options)
