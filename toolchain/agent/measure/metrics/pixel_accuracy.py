"""Pixel accuracy: the share of the pixels, of all pictures together, whose class is right.

torchmetrics' MulticlassAccuracy(average="micro", ignore_index=...).
"""

from __future__ import annotations

import numpy as np

from ..scale import FRACTION
from ..tallies.masks import MASK, MaskOptions, read_masks
from ..tallies.ratio import Ratio
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = (MASK,)
TARGETS = (MASK,)
Options = MaskOptions


class _Right(Ratio):
    def __init__(self, options: MaskOptions) -> None:
        super().__init__("pixel_accuracy", whole="pixel that counts")
        self._ignore = options.ignore

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add masks (n, H, W) and masks (n, H, W)."""
        pairs = list(read_masks("pixel_accuracy", outputs, targets, self._ignore))
        right = [np.count_nonzero((answer == wanted) & (answer >= 0)) for answer, wanted in pairs]
        self.add_samples(np.array(right), np.array([len(wanted) for _, wanted in pairs]))


def start(options: MaskOptions) -> Tally:
    """Return a tally of nothing."""
    return _Right(options)
