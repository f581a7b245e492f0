"""AUC: the area under the ROC curve of anomaly scores, higher where less normal (scikit-learn's roc_auc_score).

Equal scores share one threshold. A NaN is ranked as wrongly as can be.
"""

from __future__ import annotations

from ..scale import FRACTION
from ..tallies.roc import ANOMALOUS, RocArea
from . import Tally

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (ANOMALOUS,)


def start() -> Tally:
    """Return a tally of nothing."""
    return RocArea("auc")
