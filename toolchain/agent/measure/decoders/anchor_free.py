"""Detectors without anchors: each cell says how far its box reaches, or the graph has made the boxes of it.

- ltrb: distances to left, top, right and bottom from the middle of the cell (FCOS, Tian et al. 2019)
- dfl: each distance as scores of 0, 1, 2, ... strides, of which the mean counts (Li et al. 2020; YOLOv8 before its head)
- cxcywh: middle and size in pixels, as YOLOv8 and 11 are exported: (n, 4 + classes, rows)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..detection.choose import MADE, Choice, choose_detections
from ..detection.forms import list_cells, make_corners, reach_out
from ..outputs import apply_sigmoid, apply_softmax, check_words, expect_samples_alike, read_output, take
from ..parts import refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = MADE


@dataclass(frozen=True)
class Options(Choice):
    """What the outputs are, and which boxes of them are detections."""

    classes: int = 0
    """How many there are."""
    form: str = "cxcywh"
    """Of ltrb, dfl or cxcywh."""
    strides: Tuple[int, ...] = ()
    """Pixels from cell to cell, of each output in their order; none for cxcywh."""
    bins: int = 16
    """How many scores a distance has; for dfl."""
    exponential: bool = False
    """Whether a distance is the exponential of its number, or the number; for ltrb. Both are in strides."""
    centerness: bool = False
    """Whether a last number says how near the middle is; the score is the root of its product with the class's (FCOS)."""
    activated: bool = True
    """Whether the graph has the sigmoid of classes and centerness already."""
    outputs: Tuple[str, ...] = ()
    """Grids (n, numbers, height, width), of cxcywh (n, numbers, rows): distances or box, classes, centerness; none is all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self, form=("ltrb", "dfl", "cxcywh"))
        if self.classes < 1 or self.bins < 2:
            message = "how many classes there are, and 2 bins or more"
            raise ValueError(message)
        if (self.form == "cxcywh") is bool(self.strides) or min(self.strides, default=1) < 1:
            message = "no strides" if self.form == "cxcywh" else "strides of each output"
            raise ValueError(message)
        if self.outputs and len(self.outputs) != max(len(self.strides), 1):
            message = "a stride for each output"
            raise ValueError(message)


@dataclass(frozen=True)
class _AnchorFree:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return self.options.outputs or (outputs if self.options.strides else outputs[:1])

    def count_classes(self, outputs: Arrays) -> int:  # noqa: ARG002 - of the options alone
        return self.options.classes

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        names = self.list_read(list(outputs))
        wanted = max(len(self.options.strides), 1)
        if len(names) != wanted:
            found, fix = f"{len(names)}: {', '.join(names)}", "name the outputs in the options"
            raise refuse_part("anchor_free", "the outputs", expected=f"{wanted}", found=found, fix=fix)
        expect_samples_alike("anchor_free", {name: take("anchor_free", outputs, name, "output") for name in names})
        boxes: List[NDArray[Any]] = []
        scores: List[NDArray[Any]] = []
        for index, name in enumerate(names):
            found_boxes, found_scores = self._decode_output(outputs, name, index)
            boxes.append(found_boxes)
            scores.append(found_scores)
        return choose_detections(np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1), self.options)

    def _decode_output(self, outputs: Arrays, name: str, index: int) -> Tuple[NDArray[Any], NDArray[Any]]:
        """Return corners (n, rows, 4) and scores (n, rows, classes) of an output."""
        options = self.options
        places = 4 * options.bins if options.form == "dfl" else 4
        numbers = places + options.classes + options.centerness
        if options.form == "cxcywh":
            rows = read_output("anchor_free", outputs, name, (None, numbers, None)).transpose(0, 2, 1)
            boxes = make_corners(rows[..., :4], "cxcywh")
        else:
            grid = read_output("anchor_free", outputs, name, (None, numbers, None, None))
            count, _, height, width = grid.shape
            rows = grid.reshape(count, numbers, height * width).transpose(0, 2, 1)
            middles = (list_cells(height, width) + 0.5) * options.strides[index]
            boxes = reach_out(middles, self._measure_distances(rows[..., :places]) * options.strides[index])
        scores = rows[..., places:]
        scores = scores if options.activated else apply_sigmoid(scores)
        if options.centerness:
            scores = np.sqrt(scores[..., :-1] * scores[..., -1:])
        return boxes, scores

    def _measure_distances(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return distances (n, rows, 4) in strides."""
        if self.options.form == "dfl":
            shares = apply_softmax(numbers.reshape(*numbers.shape[:2], 4, self.options.bins), axis=3)
            return shares @ np.arange(self.options.bins, dtype=np.float32)
        with np.errstate(over="ignore"):
            return np.exp(numbers) if self.options.exponential else numbers


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _AnchorFree(options)
