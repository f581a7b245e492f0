"""Boxes and scores that the graph has made of its grids: the threshold and the suppression come here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..detection.choose import MADE, Choice, choose_detections
from ..detection.forms import FORMS, make_corners
from ..outputs import check_words, expect_samples_alike, read_output
from . import Arrays, Decoded, Decoder

OUTPUTS = MADE


@dataclass(frozen=True)
class Options(Choice):
    """What is read, and which of it is a detection."""

    boxes: str = "boxes"
    """The output (n, rows, 4)."""
    scores: str = "scores"
    """The output (n, rows, classes)."""
    form: str = "xyxy"
    """What a box is: two corners (xyxy, yxyx), a corner and the size (xywh), the middle and the size (cxcywh)."""
    scale: float = 1.0
    """What makes pixels of its numbers, such as 320 for shares of a square picture."""
    background: bool = False
    """Whether the first class is none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self, form=FORMS)


@dataclass(frozen=True)
class _Boxes:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return [name for name in outputs if name in (self.options.boxes, self.options.scores)]

    def count_classes(self, outputs: Arrays) -> int:
        scores = read_output("boxes", outputs, self.options.scores, (None, None, None))
        return int(scores.shape[2]) - self.options.background

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        options = self.options
        boxes = read_output("boxes", outputs, options.boxes, (None, None, 4))
        scores = read_output("boxes", outputs, options.scores, (None, boxes.shape[1], None))
        expect_samples_alike("boxes", {"boxes": boxes, "scores": scores})
        corners = make_corners(boxes, options.form) * options.scale
        return choose_detections(corners, scores[..., 1:] if options.background else scores, options)


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Boxes(options)
