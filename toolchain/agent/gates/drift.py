"""The gate on drift: without a task metric, every output must stay near that of the model that the user brought."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from ..drift import OutputDrift
from ..errors import ExitCode
from ..quantities import write_percent, write_sqnr
from .case import Case
from .parity import find_sqnr_db_min
from .row import Row, skip_row, write_row

NAME = "drift"
GROUP = "drift"

# The limit of parity in int8: what makes an int8 payload of an uncompressed model one to trust. A recipe that asks less
# of a precision's parity asks no more of its drift.
DEFAULT_SQNR_DB_MIN = 20.0
# Of ten answers nine stay. Published int8 classifiers agree with their float models on 92 % and more (docs/recipe.md).
DEFAULT_AGREEMENT_MIN = 0.9


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 18) every output that is too far from the user's own model; where a task metric judges, only tell.

    The agreement of answers is gated where the output is the scores of classes, or where the recipe sets a limit.
    """
    evaluation = case.candidate.evaluation
    if evaluation is None or not evaluation.drift:
        return [skip_row(NAME, GROUP, "nothing was compared")]
    rows: List[Row] = []
    for output in evaluation.drift:
        rows += [_judge_distance(case, output), *_judge_agreement(case, output)]
    return rows


def _judge_distance(case: Case, output: OutputDrift) -> Row:
    name, measured = f"{NAME} {output.output}", f"SQNR {write_sqnr(output.sqnr_db, output.max_abs, output.nonfinite)}"
    own, is_default = _choose(case.manifest.gates.drift_sqnr_db_min, DEFAULT_SQNR_DB_MIN)
    least_db = min(own, find_sqnr_db_min(case.manifest.gates, case.candidate.precision)) if is_default else own
    required = f"≥ {least_db:.1f} dB{' (default)' if is_default else ''}"
    if case.manifest.metric.name is not None and is_default:
        return skip_row(name, GROUP, f"{case.manifest.metric.name} judges", measured=measured)
    failure = None
    if output.nonfinite or not output.sqnr_db >= least_db:
        what = f"{output.nonfinite} values are NaN or infinite" if output.nonfinite else measured
        failure = f"output {output.output} drifts from the model that was brought: {what}, required {required}"
    return write_row(name, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.PARITY)


def _judge_agreement(case: Case, output: OutputDrift) -> Sequence[Row]:
    if output.agreement is None:
        return []
    name, measured = f"agreement {output.output}", f"{write_percent(output.agreement)} of the answers"
    least, is_default = _choose(case.manifest.gates.agreement_min, DEFAULT_AGREEMENT_MIN)
    required = f"≥ {write_percent(least)}{' (default)' if is_default else ''}"
    if case.manifest.metric.name is not None and is_default:
        return [skip_row(name, GROUP, f"{case.manifest.metric.name} judges", measured=measured)]
    if is_default and not output.is_scores:
        return [skip_row(name, GROUP, "not scores of classes; agreement_min would gate it", measured=measured)]
    failure = None
    if output.agreement < least:
        failure = f"output {output.output}: {measured} are those of the model that was brought, required {required}"
    return [write_row(name, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.PARITY)]


def _choose(limit: Optional[float], default: float) -> Tuple[float, bool]:
    return (default, True) if limit is None else (limit, False)
