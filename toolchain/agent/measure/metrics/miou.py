"""Mean IoU: intersection over union of each class's pixels in all pictures, averaged over the classes that occur.

torchmetrics' MulticlassJaccardIndex(average="macro", ignore_index=...). A class that is answered and nowhere true has 0. Pixels of one
class alone prove nothing.
"""

from __future__ import annotations

from ..scale import FRACTION
from ..tallies.class_counts import score_iou
from ..tallies.masks import MASK, MaskCounts, MaskOptions
from . import Tally

SCALE = FRACTION
OUTPUTS = (MASK,)
TARGETS = (MASK,)
Options = MaskOptions


def start(options: MaskOptions) -> Tally:
    """Return a tally of nothing."""
    return MaskCounts("miou", score_iou, options)
