"""Token accuracy: the share of the tokens, of all samples together, whose class is right (scikit-learn's accuracy_score).

Tokens with -100 in the target count for nothing.
"""

from __future__ import annotations

import numpy as np

from ..scale import FRACTION
from ..tallies.ratio import Ratio
from ..tallies.tags import TAGS, read_tags
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = (TAGS,)
TARGETS = (TAGS,)


class _Right(Ratio):
    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add tags and tags, both (n, tokens) or ragged."""
        pairs = list(read_tags("token_accuracy", outputs, targets))
        right = [np.count_nonzero((found == wanted) & (found >= 0)) for found, wanted in pairs]
        self.add_samples(np.array(right), np.array([len(wanted) for _, wanted in pairs]))


def start() -> Tally:
    """Return a tally of nothing."""
    return _Right("token_accuracy", whole="token that counts")
