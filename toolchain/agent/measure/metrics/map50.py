"""mAP50: average precision at 101 recalls of boxes that share half with the truth (IoU 0.50), over classes.

pycocotools' COCOeval, stats[1]: areas of all sizes, at most 100 detections of a class in a picture, what lies in a crowd
counts for nothing; of equal scores none comes before the other. A detection with a NaN is wrong.
"""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np
from numpy.typing import NDArray

from ..scale import FRACTION
from ..tallies.boxes import BOXES, CLASSES, CROWD, SCORES, BoxMatches
from ..tallies.matches import THRESHOLDS
from . import Tally

SCALE = FRACTION
OUTPUTS = (BOXES, SCORES, CLASSES)
TARGETS = (BOXES, CLASSES)
OPTIONAL_TARGETS = (CROWD,)


class _Found(BoxMatches):
    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the mean over thresholds and classes."""
        return self.measure_precision(counts)

    def compute_by_class(self) -> Dict[int, float]:
        """Return the mean over thresholds of each class with a truth, by its number."""
        return self.measure_precision_by_class()


def start() -> Tally:
    """Return a tally of nothing."""
    return _Found("map50", thresholds=THRESHOLDS[:1])
