"""Token accuracy: the share of the tokens, of all samples together, whose class is right (scikit-learn's accuracy_score).

Tokens with -100 in the target count for nothing, and tokens of one class alone prove nothing.
"""

from __future__ import annotations

from ..scale import FRACTION
from ..tallies.right_share import RightShare
from ..tallies.tags import TAGS, read_tags
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = (TAGS,)
TARGETS = (TAGS,)


class _Right(RightShare):
    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add tags and tags, both (n, tokens) or ragged."""
        self.add_pairs(read_tags("token_accuracy", outputs, targets))


def start() -> Tally:
    """Return a tally of nothing."""
    return _Right("token_accuracy", unit="token")
