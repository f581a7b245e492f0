"""The class of each pixel: the one with the largest score, of equal ones the first; a pixel with a NaN has none (-1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..outputs import check_words, choose_largest, list_first, read_output
from ..parts import describe_rows, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = ("mask",)


@dataclass(frozen=True)
class Options:
    """What is read."""

    output: Optional[str] = None
    """Scores of each pixel; none is the first output."""
    layout: str = "NCHW"
    """(n, classes, height, width), or NHWC."""

    def __post_init__(self) -> None:
        check_words(self, layout=("NCHW", "NHWC"))


@dataclass(frozen=True)
class _Argmax:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def count_classes(self, outputs: Arrays) -> int:
        scores = read_output("argmax_mask", outputs, self.options.output, (None, None, None, None))
        return int(scores.shape[1 if self.options.layout == "NCHW" else 3])

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        scores = read_output("argmax_mask", outputs, self.options.output, (None, None, None, None))
        axis = 1 if self.options.layout == "NCHW" else 3
        if scores.shape[axis] < 2:
            found, fix = describe_rows(scores), "use the decoder threshold_mask for one score a pixel"
            raise refuse_part("argmax_mask", "the output", expected="two classes or more", found=found, fix=fix)
        return {"mask": choose_largest(scores, axis=axis, broken=-1).astype(np.int32)}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Argmax(options)
