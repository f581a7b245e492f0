"""pAUC: the area under the ROC curve where false alarms are few, standardized: 0.5 is chance (McClish 1989).

scikit-learn's roc_auc_score(max_fpr=...). Equal scores share one threshold. A NaN is ranked as wrongly as can be.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..scale import FRACTION
from ..tallies.roc import ANOMALOUS, RocArea
from . import Tally

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (ANOMALOUS,)


@dataclass(frozen=True)
class Options:
    """How much of the curve."""

    false_alarms_max: float = 0.1
    """The largest rate of false alarms; 0.1 is that of DCASE's task on machine sounds (2020, task 2)."""

    def __post_init__(self) -> None:
        if not 0.0 < self.false_alarms_max < 1.0:
            message = "false_alarms_max between 0 and 1"
            raise ValueError(message)


def start(options: Options) -> Tally:
    """Return a tally of nothing."""
    return RocArea("pauc", options.false_alarms_max)
