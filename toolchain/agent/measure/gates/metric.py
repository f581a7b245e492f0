"""The gate on the task metric: how far it may drop against the user's uncompressed float model."""

from __future__ import annotations

from typing import Optional, Sequence

from ...errors import ExitCode
from ...manifest import TRUTH_FLOAT
from ..metrics import find_metric
from ..quantities import write_difference, write_value
from ..record import MetricResult
from ..scale import Scale
from .case import Case
from .limit import Limit
from .row import Row, skip_row, write_row

NAME = "metric"
GROUP = "metric"
# In the metric's unit, as metric_drop_max is; no scale goes beyond this.
LIMITS = (Limit(name="metric_drop_upper_max", least=0, most=1e300, is_whole=False),)

# MLPerf Inference asks for 99 % of the float model's quality ("Benchmarks", quality targets): one point of a hundred of
# a fraction, and a hundredth of the float model's value in any other unit.
DEFAULT_DROP_SHARE = 0.01
# Of the float model's own answers nine of ten stay, as of the answers of drift (drift.py): where both err, they need not
# agree, so that 99 % would ask for more than the quality that it stands for.
DEFAULT_DISAGREEMENT_SHARE = 0.1
# Fractions of counts are rounded: 0.925 - 0.920 must not exceed 0.005 by that. A share of the numbers, as an error in
# metres or volts may be smaller than any fixed one.
_TOLERANCE = 1e-9


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 24) a candidate whose metric drops too far; one that was to be measured and was not fails too."""
    name, evaluation = case.manifest.metric.name, case.candidate.evaluation
    if name is None:
        return [skip_row(NAME, GROUP, "the recipe names no task metric")]
    scale = find_metric(name).SCALE
    limit = case.manifest.gates.metric_drop_max
    metric = None if evaluation is None else evaluation.metric
    # From the values themselves, and the manifest's: a board's own arithmetic is not taken for it.
    reference = case.manifest.metric.reference
    if reference is None:
        return [skip_row(NAME, GROUP, "the manifest has no value to compare with")]
    drop_max = choose_drop_max(scale, limit, reference, case.manifest.metric.truth)
    required = f"≤ {write_difference(drop_max, scale.unit)}{' (default)' if limit is None else ''}"
    if metric is None or metric.name != name:
        if evaluation is None or evaluation.mismatch is not None:
            return [skip_row(NAME, GROUP, "it was not measured", required=required)]
        missing = f"{name} was not measured"
        return [write_row(NAME, GROUP, measured="nothing", required=required, failure=missing, code=ExitCode.METRIC)]
    drop = scale.measure_drop(reference, metric.deployed)
    failure, is_agreement = None, case.manifest.metric.truth == TRUTH_FLOAT
    mark = "agreement with float: " if is_agreement else ""
    if not drop <= drop_max + _TOLERANCE * max(abs(reference), drop_max):
        failure = (
            f"{mark}{name} {'drops' if scale.direction == 'higher' else 'rises'} by {write_difference(drop, scale.unit)}, "
            f"required {required}: {write_value(metric.deployed, scale.unit)} against "
            f"{write_value(reference, scale.unit)}"
        )
    measured = f"{name} drop {write_difference(drop, scale.unit)}"
    if is_agreement:
        value = write_value(metric.deployed, scale.unit)
        measured = f"{mark}{name} {value} of its own answers, drop {write_difference(drop, scale.unit)}"
    if metric.drop_upper is not None:
        measured += f", at most {write_difference(metric.drop_upper, scale.unit)} with 99 %"
    row = write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.METRIC)
    return [row, *_judge_bound(case, metric, scale)]


def choose_drop_max(scale: Scale, limit: Optional[float], reference: float, truth: str) -> float:
    """Return how much the metric may drop: what the recipe asks for, else the default."""
    share = DEFAULT_DISAGREEMENT_SHARE if truth == TRUTH_FLOAT else DEFAULT_DROP_SHARE
    return scale.choose_drop_max(limit, share, reference)


def _judge_bound(case: Case, metric: MetricResult, scale: Scale) -> Sequence[Row]:
    """Fail (exit 24) a candidate whose drop is not proven to be small enough; a metric without an interval proves nothing."""
    limit = case.manifest.gates.limits.get("metric_drop_upper_max")
    if limit is None:
        return []
    measured = "no interval"
    if metric.drop_upper is not None:
        measured = f"{metric.name} drop at most {write_difference(metric.drop_upper, scale.unit)} with 99 %"
    required = f"≤ {write_difference(limit, scale.unit)}"
    failure = None
    if metric.drop_upper is None or not metric.drop_upper <= limit + _TOLERANCE * limit:
        failure = f"of {metric.samples} samples {measured}, required {required}"
    return [
        write_row(f"{NAME} bound", GROUP, measured=measured, required=required, failure=failure, code=ExitCode.METRIC)
    ]
