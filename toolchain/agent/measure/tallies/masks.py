"""Masks: a class for each pixel of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Tuple

import numpy as np
from numpy.typing import NDArray

from ..metrics import Outputs, Targets, take_output, take_target
from ..parts import expect_array, refuse_part
from .class_counts import ClassCounts, Score, count_pairs

MASK = "mask"
"""The target and the output: class numbers `(N, H, W)`."""


@dataclass(frozen=True)
class MaskOptions:
    """What counts."""

    ignore: int = 255
    """The class number of pixels in the target that count for nothing, as the masks of Cityscapes and VOC have it."""


def read_masks(
    name: str, outputs: Outputs, targets: Targets, ignore: int
) -> Iterator[Tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the classes of the pixels (pixels,) that came out and those that should have, without what counts for nothing.

    Raises ToolchainError (exit 23).
    """
    any_size = (None, None, None)
    truth = expect_array(name, take_target(name, targets, MASK), f"targets: {MASK}", any_size, "biu")
    decoders = "argmax_mask or threshold_mask"
    found = expect_array(name, take_output(name, outputs, MASK, decoders), f"the output {MASK}", any_size, "biu")
    if found.shape != truth.shape:
        raise refuse_part(
            name,
            f"the output {MASK}",
            expected=f"shape {truth.shape}, that of the target",
            found=f"shape {found.shape}",
            fix="give masks of the size that the model returns",
        )
    for answer, wanted in zip(found, truth):  # noqa: B905 - Python 3.8 has no strict
        counts = wanted != ignore
        # Of one type: older numpy compares int64 with uint64 as floats.
        yield answer[counts].astype(np.int64), wanted[counts].astype(np.int64)


class MaskCounts(ClassCounts):
    """The mean over classes of a score of their pixels in all pictures; a few numbers a picture and class are kept."""

    def __init__(self, name: str, score: Score, options: MaskOptions) -> None:
        """Take the metric's name, its score, and what counts."""
        super().__init__(name, unit="pixel", score=score, true_min=2)
        self._ignore = options.ignore

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add masks (n, H, W) and masks (n, H, W)."""
        for answer, wanted in read_masks(self._name, outputs, targets, self._ignore):
            rows = count_pairs(answer, wanted)
            self.add_samples(1, rows[:, 0] * 0, rows)
