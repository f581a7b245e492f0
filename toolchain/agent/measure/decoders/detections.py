"""Detections that the graph has already chosen: its suppression is inside, and what is padded goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..detection.choose import MADE, Choice, clip_boxes, join_pictures
from ..detection.forms import FORMS, make_corners
from ..outputs import check_words, expect_samples_alike, read_output, take
from ..parts import NUMBERS, describe_rows, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = MADE
_NO_CLASS = -1


@dataclass(frozen=True)
class Options:
    """What is read."""

    boxes: str = "boxes"
    """The output (n, rows, 4); (rows, 4) of one picture, as torchvision exports its detectors."""
    scores: str = "scores"
    """The output (n, rows)."""
    classes: str = "classes"
    """The output (n, rows)."""
    count: Optional[str] = None
    """The output (n,) or (n, 1) with how many rows of each picture are real; none is all above the threshold."""
    joined: Optional[str] = None
    """One output (n, rows, 6) in place of these: box, score, class."""
    form: str = "xyxy"
    """What a box is: two corners (xyxy, yxyx), a corner and the size (xywh), the middle and the size (cxcywh)."""
    scale: float = 1.0
    """What makes pixels of its numbers."""
    threshold: float = 0.0
    """Scores above it; padded rows have 0."""
    clip: Tuple[int, ...] = ()
    """Height and width of the picture that boxes end at; none ends them nowhere."""

    def __post_init__(self) -> None:
        check_words(self, form=FORMS)
        Choice(clip=self.clip)


@dataclass(frozen=True)
class _Detections:
    options: Options

    def _list_names(self) -> Dict[str, str]:
        options = self.options
        names = {"boxes": options.boxes, "scores": options.scores, "classes": options.classes}
        return {"joined": options.joined} if options.joined is not None else names

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        names = [*self._list_names().values(), self.options.count]
        return [name for name in outputs if name in names]

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        options = self.options
        boxes, scores, numbers = self._read(outputs)
        with np.errstate(invalid="ignore"):
            real = scores > options.threshold
        if options.count is not None:
            counts = take("detections", outputs, options.count, "output")
            if counts.size != len(boxes) or counts.dtype.kind not in NUMBERS:
                found = describe_rows(counts)
                raise refuse_part(
                    "detections", f"the output {options.count}", expected=f"{len(boxes)} counts", found=found
                )
            real &= np.arange(scores.shape[1]) < counts.reshape(-1, 1)
        corners = make_corners(boxes, options.form) * np.float32(options.scale)
        classes = np.where(np.abs(numbers) < 2**62, numbers, _NO_CLASS).astype(np.int64)
        choice = Choice(clip=options.clip)
        pictures = zip(corners, scores, classes, real)  # noqa: B905 - Python 3.8 has no strict
        return join_pictures(
            (clip_boxes(box[rows], choice), score[rows], kind[rows]) for box, score, kind, rows in pictures
        )

    def _read(self, outputs: Arrays) -> Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Return boxes (n, rows, 4), scores (n, rows) and class numbers (n, rows)."""
        options = self.options
        if options.joined is not None:
            rows = read_output("detections", outputs, options.joined, (None, None, 6))
            return rows[..., :4], rows[..., 4], rows[..., 5]
        arrays = {name: take("detections", outputs, name, "output") for name in self._list_names().values()}
        if arrays[options.boxes].ndim == 2:
            arrays = {name: array[None] for name, array in arrays.items()}
        boxes = read_output("detections", arrays, options.boxes, (None, None, 4))
        scores = read_output("detections", arrays, options.scores, (None, boxes.shape[1]))
        read_output("detections", arrays, options.classes, (None, boxes.shape[1]))
        expect_samples_alike("detections", arrays)
        return boxes, scores, arrays[options.classes]


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Detections(options)
