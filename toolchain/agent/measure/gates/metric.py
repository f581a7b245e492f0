"""The gate on the task metric: how far it may drop against the user's uncompressed float model."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from ..quantities import write_percent, write_points
from .case import Case
from .row import Row, skip_row, write_row

NAME = "metric"
GROUP = "metric"

# MLPerf Inference asks for 99 % of the float model's quality ("Benchmarks", quality targets): one point of a hundred.
DEFAULT_DROP_MAX = 0.01
# Metrics are fractions of counts: 0.925 - 0.920 must not exceed 0.005 by a rounding error.
_TOLERANCE = 1e-9


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 24) a candidate whose metric drops too far; one that was to be measured and was not fails too."""
    name, evaluation = case.manifest.metric.name, case.candidate.evaluation
    if name is None:
        return [skip_row(NAME, GROUP, "the recipe names no task metric")]
    limit = case.manifest.gates.metric_drop_max
    required = f"≤ {write_points(DEFAULT_DROP_MAX)} (default)" if limit is None else f"≤ {write_points(limit)}"
    metric = None if evaluation is None else evaluation.metric
    if metric is None or metric.name != name:
        if evaluation is None or evaluation.mismatch is not None:
            return [skip_row(NAME, GROUP, "it was not measured", required=required)]
        missing = f"{name} was not measured"
        return [write_row(NAME, GROUP, measured="nothing", required=required, failure=missing, code=ExitCode.METRIC)]
    # From the values themselves, and the manifest's: a board's own arithmetic is not taken for it.
    reference = metric.reference if case.manifest.metric.reference is None else case.manifest.metric.reference
    drop = reference - metric.deployed
    failure = None
    if not drop <= (DEFAULT_DROP_MAX if limit is None else limit) + _TOLERANCE:
        failure = (
            f"{name} drops by {write_points(drop)}, required {required}: "
            f"{write_percent(metric.deployed)} against {write_percent(reference)}"
        )
    measured = f"{name} drop {write_points(drop)}"
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.METRIC)]
