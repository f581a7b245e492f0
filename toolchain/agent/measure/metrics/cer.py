"""Character error rate: the edits that turn what should have come out into what did, over its letters (jiwer's cer).

Texts count without white space around them. The rate is above 1 where more came out than should have. What is no UTF-8
counts as wrong letters.
"""

from __future__ import annotations

import math

import numpy as np

from ..scale import FRACTION_UNIT, Scale
from ..tallies.edits import count_edits, read_texts
from ..tallies.ratio import Ratio
from ..targets import TEXT
from . import Outputs, Tally, Targets

SCALE = Scale(unit=FRACTION_UNIT, worst=math.inf, best=0.0)
OUTPUTS = (TEXT,)
TARGETS = (TEXT,)


class _Edits(Ratio):
    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add texts and texts, both ragged bytes."""
        pairs = [(list(wanted), list(found)) for wanted, found in read_texts("cer", outputs, targets)]
        edits = [count_edits(wanted, found) for wanted, found in pairs]
        self.add_samples(np.array(edits), np.array([len(wanted) for wanted, _ in pairs]))


def start() -> Tally:
    """Return a tally of nothing."""
    return _Edits("cer", whole="letter")
