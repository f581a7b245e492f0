"""The class of each token: the one with the largest score, of equal ones the first.

A token with a NaN has none (-1), and one that the mask among the inputs leaves out has -100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..outputs import choose_largest, list_first, read_output, take
from ..parts import describe_rows, expect_array, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = ("tags",)
_NO_TAG = -100


@dataclass(frozen=True)
class Options:
    """What is read."""

    output: Optional[str] = None
    """Scores (n, tokens, classes); none is the first output."""
    mask: Optional[str] = None
    """The input (n, tokens) that is 0 where there is no token."""


@dataclass(frozen=True)
class _Argmax:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def count_classes(self, outputs: Arrays) -> int:
        return int(read_output("token_argmax", outputs, self.options.output, (None, None, None)).shape[2])

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:
        scores = read_output("token_argmax", outputs, self.options.output, (None, None, None))
        if not scores.shape[2]:
            found = describe_rows(scores)
            raise refuse_part("token_argmax", "the output", expected="one class or more", found=found)
        tags = choose_largest(scores, axis=2, broken=-1)
        if self.options.mask is not None:
            given = take("token_argmax", inputs, self.options.mask, "input")
            where = f"the input {self.options.mask}"
            mask = expect_array("token_argmax", given, where, tags.shape, "biuf")
            tags = np.where(mask != 0, tags, _NO_TAG)
        return {"tags": tags}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Argmax(options)
