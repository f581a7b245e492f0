"""Agreement: the share of samples whose largest score stands where another model has its own, such as the float model.

It needs no labels: the target "scores" is what the other model returned.
"""

from __future__ import annotations

import numpy as np

from ...errors import ExitCode, ToolchainError
from ..scale import FRACTION
from ..scores import read_scores, view_scores
from ..tallies.ratio import Ratio
from ..targets import Ragged
from . import Outputs, Tally, Targets, take_target

SCORES = "scores"
"""The other model's output for each sample, of the same shape."""

SCALE = FRACTION
OUTPUTS = ()
TARGETS = (SCORES,)


class _Agreed(Ratio):
    """Counts the samples with the same answer."""

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add scores (n, classes), or (n, classes, 1, 1), and the other model's; a NaN agrees with nothing."""
        target = take_target("agreement", targets, SCORES)
        others = None if isinstance(target, Ragged) else view_scores(target)
        if isinstance(target, Ragged) or others is None or target.dtype.kind not in "biuf":
            raise ToolchainError(
                ExitCode.MALFORMED,
                "agreement cannot read the scores to compare with",
                where=f"targets: {SCORES}",
                expected="scores of shape (N, classes)",
                found="a ragged target" if isinstance(target, Ragged) else f"{target.dtype} of shape {target.shape}",
                fix="give what the other model returned",
            )
        scores = read_scores("agreement", outputs, len(others))
        if scores.shape != others.shape:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "agreement has scores of other classes to compare with",
                where=f"targets: {SCORES}",
                expected=f"shape {scores.shape}",
                found=f"shape {others.shape}",
                fix="give the scores of a model with the same classes",
            )
        if scores.shape[1] < 2:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "agreement cannot tell answers apart by one number for each sample",
                where="outputs",
                expected="scores of two classes or more",
                found=f"shape {scores.shape}",
                fix='compare numbers by another metric, such as "mae" or "auc"',
            )
        known = ~(np.isnan(scores).any(axis=1) | np.isnan(others).any(axis=1))
        self.add_samples((scores.argmax(axis=1) == others.argmax(axis=1)) & known)


def start() -> Tally:
    """Return a tally of nothing."""
    return _Agreed("agreement")
