"""Key points that a model returns as numbers: x and y of each, and perhaps a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np

from ..outputs import list_first, read_output, take
from ..parts import describe_rows, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = ("points", "scores")


@dataclass(frozen=True)
class Options:
    """What is read."""

    output: Optional[str] = None
    """Points (n, points, 2 or 3), or (n, 2 * points); none is the first output."""
    scale: Tuple[float, ...] = (1.0, 1.0)
    """What makes pixels of x and y, such as the width and the height for shares of the picture."""

    def __post_init__(self) -> None:
        if len(self.scale) != 2:
            message = "scale of x and of y"
            raise ValueError(message)


@dataclass(frozen=True)
class _Points:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        array = take("points", outputs, self.options.output, "output")
        if array.ndim == 2 and array.shape[1] and array.shape[1] % 2 == 0:
            array = array.reshape(len(array), -1, 2)
        if array.ndim != 3 or array.shape[2] not in (2, 3) or not array.shape[1]:
            expected, found = "shape (n, points, 2 or 3) or (n, 2 * points)", describe_rows(array)
            raise refuse_part("points", "the output", expected=expected, found=found)
        numbers = read_output("points", {"points": array}, "points", (None, None, None))
        scores = numbers[..., 2] if numbers.shape[2] == 3 else np.ones(numbers.shape[:2], np.float32)
        places = numbers[..., :2] * np.array(self.options.scale, np.float32)
        return {"points": np.concatenate([places, scores[..., None]], axis=2), "scores": scores.mean(axis=1)}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Points(options)
