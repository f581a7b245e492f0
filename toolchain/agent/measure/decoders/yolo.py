"""Raw grids of YOLO: each cell says where its boxes are, by anchors or without, with an objectness or without.

- v3 (Redmon and Farhadi 2018): middle = cell + sigmoid(t), size = anchor * exp(t)
- v5 (Ultralytics): middle = cell - 0.5 + 2 sigmoid(t), size = anchor * (2 sigmoid(t))^2
- x (YOLOX, Ge et al. 2021): middle = cell + t, size = stride * exp(t), no anchors
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..detection.choose import MADE, Choice, choose_detections
from ..detection.forms import list_cells, make_corners
from ..outputs import apply_sigmoid, check_words, expect_samples_alike, read_output, take
from ..parts import describe_rows, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = MADE


@dataclass(frozen=True)
class Options(Choice):
    """What the grids are, and which boxes of them are detections."""

    strides: Tuple[int, ...] = ()
    """Pixels from cell to cell, of each output in their order."""
    anchors: Tuple[Tuple[float, ...], ...] = ()
    """Of each output: width and height of its first anchor, of its second, ... in pixels; none for the formula x."""
    classes: int = 0
    """How many there are."""
    formula: str = "v5"
    """Of v3, v5 or x."""
    objectness: bool = True
    """Whether the score of a class is its own times that of an object."""
    activated: bool = False
    """Whether the graph has the sigmoid of objectness and classes already."""
    outputs: Tuple[str, ...] = ()
    """The grids (n, anchors * numbers, height, width) or (n, anchors, height, width, numbers); none is all outputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self, formula=("v3", "v5", "x"))
        pairs = [len(anchors) > 0 and len(anchors) % 2 == 0 for anchors in self.anchors]
        if not self.strides or min(self.strides) < 1 or self.classes < 1:
            message = "strides of each output, and how many classes there are"
            raise ValueError(message)
        if (len(pairs), all(pairs)) != (0 if self.formula == "x" else len(self.strides), True):
            message = "no anchors for x" if self.formula == "x" else "anchors of each output: width, height, ..."
            raise ValueError(message)
        if self.outputs and len(self.outputs) != len(self.strides):
            message = "a stride for each output"
            raise ValueError(message)


@dataclass(frozen=True)
class _Yolo:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return self.options.outputs or outputs

    def count_classes(self, outputs: Arrays) -> int:  # noqa: ARG002 - of the options alone
        return self.options.classes

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        names = self.list_read(list(outputs))
        if len(names) != len(self.options.strides):
            expected, found = f"{len(self.options.strides)}, one for each stride", f"{len(names)}: {', '.join(names)}"
            raise refuse_part(
                "yolo", "the outputs", expected=expected, found=found, fix="name the outputs in the options"
            )
        expect_samples_alike("yolo", {name: take("yolo", outputs, name, "output") for name in names})
        boxes: List[NDArray[Any]] = []
        scores: List[NDArray[Any]] = []
        for index, name in enumerate(names):
            found_boxes, found_scores = self._decode_grid(outputs, name, index)
            boxes.append(found_boxes)
            scores.append(found_scores)
        return choose_detections(np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1), self.options)

    def _decode_grid(self, outputs: Arrays, name: str, index: int) -> Tuple[NDArray[Any], NDArray[Any]]:
        """Return corners (n, rows, 4) and scores (n, rows, classes) of a grid; rows are anchors, in each the cells."""
        options = self.options
        stride = options.strides[index]
        flat = options.anchors[index] if options.anchors else (stride, stride)
        anchors = np.array(flat, np.float32).reshape(-1, 1, 2)
        numbers = 4 + options.objectness + options.classes
        array = outputs[name]
        if array.ndim == 5:
            grid = read_output("yolo", outputs, name, (None, len(anchors), None, None, numbers))
            count, _, height, width, _ = grid.shape
        else:
            grid = read_output("yolo", outputs, name, (None, len(anchors) * numbers, None, None))
            count, _, height, width = grid.shape
            grid = np.moveaxis(grid.reshape(count, len(anchors), numbers, height, width), 2, -1)
        if not height * width:
            raise refuse_part("yolo", f"the output {name}", expected="a grid with cells", found=describe_rows(array))
        cells = grid.reshape(count, len(anchors), height * width, numbers)
        where, sizes = list_cells(height, width), cells[..., 2:4]
        with np.errstate(over="ignore"):
            if options.formula == "v5":
                middles = (where - 0.5 + 2 * apply_sigmoid(cells[..., :2])) * stride
                sizes = anchors * np.square(2 * apply_sigmoid(sizes))
            else:
                moved = cells[..., :2] if options.formula == "x" else apply_sigmoid(cells[..., :2])
                middles, sizes = (where + moved) * stride, anchors * np.exp(sizes)
        scores = cells[..., 4:] if options.activated else apply_sigmoid(cells[..., 4:])
        if options.objectness:
            scores = scores[..., :1] * scores[..., 1:]
        rows = len(anchors) * height * width
        corners = make_corners(np.concatenate([middles, sizes], axis=-1), "cxcywh")
        return corners.reshape(count, rows, 4), scores.reshape(count, rows, options.classes)


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Yolo(options)
