"""F1 of each class of tokens, averaged over the classes that occur (scikit-learn's f1_score(average="macro")).

Tokens with -100 in the target count for nothing, and tokens of one class alone prove nothing.
"""

from __future__ import annotations

from ..scale import FRACTION
from ..tallies.class_counts import ClassCounts, count_pairs, score_f1
from ..tallies.tags import TAGS, read_tags
from . import Outputs, Tally, Targets

SCALE = FRACTION
OUTPUTS = (TAGS,)
TARGETS = (TAGS,)


class _F1(ClassCounts):
    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add tags and tags, both (n, tokens) or ragged."""
        for found, wanted in read_tags("token_f1", outputs, targets):
            rows = count_pairs(found, wanted)
            self.add_samples(1, rows[:, 0] * 0, rows)


def start() -> Tally:
    """Return a tally of nothing."""
    return _F1("token_f1", unit="token", score=score_f1, true_min=2)
