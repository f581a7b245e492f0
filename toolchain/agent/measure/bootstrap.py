"""How sure a drop of the metric is: a paired bootstrap over the samples (Efron and Tibshirani 1993, chapters 8 and 13).

Samples are drawn with replacement, as many as there are, and both models are asked for their metric of the same draw; the
spread of the drop over the draws is how far it may be off because these samples were taken and not others.

A bootstrap cannot see what no sample showed: where both models answer alike on all of them, every draw has the drop 0, and
so it would claim certainty of a model that was asked ten questions. Each draw has therefore one sample more, which the
deployed model loses wholly (for the lower bound: wins wholly). It is drawn as often as any other, a Poisson number with
mean 1, and moves the metric by one sample's share. For a share of samples the bounds are then those of Clopper and Pearson
(their upper bound for b losses is a quantile of Gamma(b + 1)): no difference on N samples is "at most 4 / N", close to the
rule of three at 99 % (4.6 / N). A metric without a range, such as an error in pixels, has no such sample to add.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .checked_metric import CheckedTally
from .quantiles import CONFIDENCE
from .scale import FRACTION_UNIT, Scale

RESAMPLES = 2000
"""Each bound has 20 draws beyond it: what it holds with is known to sqrt(0.01 * 0.99 / 2000) = 0.2 points."""


@dataclass(frozen=True)
class Drop:
    """A drop, and its bounds: the true one is at most upper with 99 % confidence, and at least lower with 99 %.

    Both are None, and note says why, for a metric that does not say its value of a resample.
    """

    drop: float
    lower: Optional[float]
    upper: Optional[float]
    samples: int
    note: Optional[str] = None


def estimate_drop(reference: CheckedTally, deployed: CheckedTally, scale: Scale) -> Drop:
    """Return by how much the deployed model is worse than the reference on the same samples, added in the same order.

    The draws are the same ones for the same number of samples. Raises ToolchainError: exit 20 where more than 1 % of the
    draws prove nothing (such as an evaluation set with three positives), exit 23 for tallies of different samples, and what
    compute() raises.
    """
    samples = deployed.samples
    if reference.samples != samples:
        raise ToolchainError(
            ExitCode.MALFORMED,
            "the drop is one between different samples",
            where="metric",
            expected=f"{reference.samples} samples, as the reference has",
            found=str(samples),
            fix="measure both models on the same samples",
        )
    drop = scale.measure_drop(reference.compute(), deployed.compute())
    if not (reference.can_resample and deployed.can_resample):
        note = "no interval: compute() of this metric takes no counts"
        return Drop(drop=drop, lower=None, upper=None, samples=samples, note=note)
    generator = np.random.Generator(np.random.PCG64(samples))
    step = _measure_range(scale) / samples
    highest: List[float] = []
    lowest: List[float] = []
    for _ in range(RESAMPLES):
        # A draw of N of N samples: how often each came.
        counts = np.bincount(generator.integers(0, samples, samples), minlength=samples)
        added = step * generator.poisson(1.0)
        found = _measure_draw(reference, deployed, scale, counts)
        highest.append(math.inf if found is None else found + added)
        lowest.append(-math.inf if found is None else found - added)
    beyond = int(RESAMPLES * (1 - CONFIDENCE) + 0.5)
    lower, upper = sorted(lowest)[beyond], sorted(highest)[-1 - beyond]
    if not (math.isfinite(lower) and math.isfinite(upper)):
        raise ToolchainError(
            ExitCode.INVALID,
            "the drop of the metric has no bound",
            where="metric",
            expected=f"at most {beyond} of {RESAMPLES} draws of the samples that prove nothing",
            found=f"{sum(math.isinf(value) for value in highest)}",
            fix="give more evaluation samples of the rare kind",
        )
    return Drop(drop=drop, lower=min(lower, drop), upper=max(upper, drop), samples=samples)


def _measure_range(scale: Scale) -> float:
    """Return by how much one sample can lose; 0 where nobody knows."""
    if scale.unit == FRACTION_UNIT:
        return 1.0
    span = abs(scale.best - scale.worst)
    return span if math.isfinite(span) else 0.0


def _measure_draw(
    reference: CheckedTally, deployed: CheckedTally, scale: Scale, counts: NDArray[np.int64]
) -> Optional[float]:
    """Return the drop of one draw; None for a draw that proves nothing."""
    try:
        return scale.measure_drop(reference.compute(counts), deployed.compute(counts))
    except ToolchainError as error:
        if error.code in (ExitCode.INVALID, ExitCode.METRIC):
            return None
        raise
