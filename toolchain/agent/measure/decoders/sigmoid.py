"""Sigmoid of class scores: each class by itself, of which a sample may have several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

from ..outputs import apply_sigmoid, list_first, take
from ..parts import describe_rows, refuse_part
from ..scores import view_scores
from . import Arrays, Decoded, Decoder

OUTPUTS = ("scores",)


@dataclass(frozen=True)
class Options:
    """What is read."""

    output: Optional[str] = None
    """Scores (n, classes); none is the first output."""


@dataclass(frozen=True)
class _Sigmoid:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def count_classes(self, outputs: Arrays) -> Optional[int]:
        scores = view_scores(take("sigmoid", outputs, self.options.output, "output"))
        return None if scores is None else int(scores.shape[1])

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        array = take("sigmoid", outputs, self.options.output, "output")
        scores = view_scores(array)
        if scores is None or array.dtype.kind != "f":
            found = describe_rows(array)
            raise refuse_part("sigmoid", "the output", expected="floats of shape (n, classes)", found=found)
        return {"scores": apply_sigmoid(scores.astype("float32"))}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Sigmoid(options)
