"""Average recall of COCO: the share of the truth that is found, over IoU 0.50 to 0.95 and over classes.

pycocotools' COCOeval, stats[8]: areas of all sizes, at most 100 detections of a class in a picture, what lies in a crowd
counts for nothing; of equal scores none comes before the other. A detection with a NaN is wrong.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
from numpy.typing import NDArray

from ..scale import FRACTION
from ..tallies.boxes import BOXES, CLASSES, CROWD, SCORES, BoxMatches
from . import Tally

SCALE = FRACTION
OUTPUTS = (BOXES, SCORES, CLASSES)
TARGETS = (BOXES, CLASSES)
OPTIONAL_TARGETS = (CROWD,)


class _Found(BoxMatches):
    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the mean over thresholds and classes."""
        return self.measure_recall(counts)


def start() -> Tally:
    """Return a tally of nothing."""
    return _Found("detection_recall")
