"""Pixel accuracy: the share of the pixels, of all pictures together, whose class is right.

torchmetrics' MulticlassAccuracy(average="micro", ignore_index=...). Pixels of one class alone prove nothing.
"""

from __future__ import annotations

from ..scale import FRACTION
from ..tallies.masks import MASK, MaskOptions, read_masks
from ..tallies.right_share import RightShare
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = (MASK,)
TARGETS = (MASK,)
Options = MaskOptions


class _Right(RightShare):
    def __init__(self, options: MaskOptions) -> None:
        super().__init__("pixel_accuracy", unit="pixel")
        self._ignore = options.ignore

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add masks (n, H, W) and masks (n, H, W)."""
        self.add_pairs(read_masks("pixel_accuracy", outputs, targets, self._ignore))


def start(options: MaskOptions) -> Tally:
    """Return a tally of nothing."""
    return _Right(options)
