"""Class 1 for each pixel whose score reaches the threshold, else class 0; a pixel with a NaN has none (-1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..outputs import apply_sigmoid, list_first, read_output, take
from . import Arrays, Decoded, Decoder

OUTPUTS = ("mask",)


@dataclass(frozen=True)
class Options:
    """What is read, and from where on."""

    output: Optional[str] = None
    """A score of each pixel, (n, height, width) or (n, 1, height, width); none is the first output."""
    threshold: float = 0.5
    logits: bool = False
    """Whether the sigmoid of the score is what reaches it."""


@dataclass(frozen=True)
class _Threshold:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def count_classes(self, outputs: Arrays) -> int:  # noqa: ARG002 - it has a score or none
        return 2

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        options = self.options
        axes = take("threshold_mask", outputs, options.output, "output").ndim
        shape = (None, 1, None, None) if axes == 4 else (None, None, None)
        scores = read_output("threshold_mask", outputs, options.output, shape)
        scores = scores[:, 0] if axes == 4 else scores
        shares = apply_sigmoid(scores) if options.logits else scores
        return {"mask": np.where(np.isnan(shares), -1, shares >= options.threshold).astype(np.int8)}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Threshold(options)
