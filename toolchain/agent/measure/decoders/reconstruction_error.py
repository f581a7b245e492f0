"""How far what a model gives back is from what it was given: the error of each sample, as an anomaly score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..outputs import check_words, list_first, take
from ..parts import NUMBERS, describe_rows, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = ("error",)


@dataclass(frozen=True)
class Options:
    """What is compared."""

    output: Optional[str] = None
    """The output (n, ...); none is the first."""
    input: Optional[str] = None
    """The input of the same shape; none is the first."""
    error: str = "squared"
    """The mean of squared differences, or of absolute ones."""

    def __post_init__(self) -> None:
        check_words(self, error=("squared", "absolute"))


@dataclass(frozen=True)
class _Error:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:
        found = take("reconstruction_error", outputs, self.options.output, "output")
        given = take("reconstruction_error", inputs, self.options.input, "input")
        kinds = {array.dtype.kind for array in (found, given)}
        if found.shape != given.shape or found.ndim < 2 or not kinds <= set(NUMBERS) or 0 in found.shape[1:]:
            expected = f"as the input, {describe_rows(given)}"
            raise refuse_part("reconstruction_error", "the output", expected=expected, found=describe_rows(found))
        differences = (found.astype(np.float64) - given).reshape(len(found), math.prod(found.shape[1:]))
        errors = np.square(differences) if self.options.error == "squared" else np.abs(differences)
        return {"error": errors.mean(axis=1)}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Error(options)
