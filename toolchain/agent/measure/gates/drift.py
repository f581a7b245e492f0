"""The gate on drift: without a task metric, every output must stay near that of the model that the user brought."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from ...errors import ExitCode
from ..drift import OutputDrift
from ..metrics.agreement import SCORES
from ..quantities import write_percent, write_sqnr
from ..scoring import find_scoring
from ..targets import LABELS
from .case import Case
from .parity import find_sqnr_db_min
from .row import Row, skip_row, write_row

NAME = "drift"
GROUP = "drift"

# The limit of parity in int8: what makes an int8 payload of an uncompressed model one to trust. A recipe that asks less
# of a precision's parity asks no more of its drift.
DEFAULT_SQNR_DB_MIN = 20.0
# Of ten answers nine stay. A mobile net that plain quantize_static took to 16 dB agreed on 92 %; what keeps 20 dB agrees on more.
DEFAULT_AGREEMENT_MIN = 0.9
# Half of the power in which samples differ is left: 10 log10(2). A constant answer has 0 dB, whatever its SQNR.
VARYING_DB_MIN = 3.0
# Whole numbers are answers rather than measurements, and nine of ten stay: another answer has twice the variance of answers,
# so that 10 log10(1 / (2 · 0.1)) is left. Objects that are numbered from a million on are 100 dB from each other, whatever
# they are.
WHOLE_VARYING_DB_MIN = 7.0


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 18) every output that is too far from the user's own model; of those that a task metric reads, only tell.

    The agreement of answers is gated where the output is the scores of classes, or where the recipe sets a limit. Outputs
    that are the same in all samples prove nothing (exit 20).
    """
    evaluation = case.candidate.evaluation
    if evaluation is None or not evaluation.drift:
        return [skip_row(NAME, GROUP, "nothing was compared")]
    rows: List[Row] = []
    metric = case.manifest.metric.name
    names = [spec.name for spec in case.manifest.outputs]
    whole = {spec.name for spec in case.manifest.outputs if spec.dtype.startswith(("int", "uint"))}
    scoring = find_scoring(case.manifest.metric)
    read = () if scoring is None else scoring.list_read(names)
    holds_classes = scoring is None or bool({LABELS, SCORES}.intersection(scoring.targets))
    for output in evaluation.drift:
        judge_name = metric if output.output in read else None
        varying_db = WHOLE_VARYING_DB_MIN if output.output in whole else VARYING_DB_MIN
        rows.append(_judge_distance(case, output, judge_name, varying_db_min=varying_db))
        # Where the largest number of an output stands is no answer of what is scored as numbers, a mask or a text.
        if judge_name is None or holds_classes or case.manifest.gates.agreement_min is not None:
            rows += _judge_agreement(case, output, judge_name)
    if metric is None and all(output.varying.constant == output.varying.channels for output in evaluation.drift):
        failure = (
            f"no output differs by more than rounding between the {evaluation.samples} samples: any constant passes"
        )
        measured, required = "the same outputs for every sample", "outputs that differ"
        rows.append(
            write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.INVALID)
        )
    return rows


def _judge_distance(case: Case, output: OutputDrift, judge_name: Optional[str], *, varying_db_min: float) -> Row:
    name, measured = f"{NAME} {output.output}", f"SQNR {write_sqnr(output.sqnr_db, output.max_abs, output.nonfinite)}"
    own, is_default = _choose(case.manifest.gates.drift_sqnr_db_min, DEFAULT_SQNR_DB_MIN)
    least_db = min(own, find_sqnr_db_min(case.manifest.gates, case.candidate.precision)) if is_default else own
    required = f"≥ {least_db:.1f} dB{' (default)' if is_default else ''}"
    if judge_name is not None and is_default:
        return skip_row(name, GROUP, f"{judge_name} judges", measured=measured)
    failure = None
    if output.nonfinite or not output.sqnr_db >= least_db:
        what = f"{output.nonfinite} values are NaN or infinite" if output.nonfinite else measured
        failure = f"output {output.output} drifts from the model that was brought: {what}, required {required}"
    elif output.varying.varying_db is not None and not output.varying.varying_db >= min(varying_db_min, least_db):
        failure = (
            f"output {output.output} drifts from the model that was brought: {measured}, and of what differs between "
            f"samples {output.varying.varying_db:.1f} dB, required {min(varying_db_min, least_db):.1f} dB"
        )
    return write_row(name, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.PARITY)


def _judge_agreement(case: Case, output: OutputDrift, judge_name: Optional[str]) -> Sequence[Row]:
    if output.agreement is None:
        return []
    name, measured = f"agreement {output.output}", f"{write_percent(output.agreement)} of the answers"
    least, is_default = _choose(case.manifest.gates.agreement_min, DEFAULT_AGREEMENT_MIN)
    required = f"≥ {write_percent(least)}{' (default)' if is_default else ''}"
    if judge_name is not None and is_default:
        return [skip_row(name, GROUP, f"{judge_name} judges", measured=measured)]
    if is_default and not output.is_scores:
        return [skip_row(name, GROUP, "not scores of classes; agreement_min would gate it", measured=measured)]
    failure = None
    if output.agreement < least:
        failure = f"output {output.output}: {measured} are those of the model that was brought, required {required}"
    return [write_row(name, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.PARITY)]


def _choose(limit: Optional[float], default: float) -> Tuple[float, bool]:
    return (default, True) if limit is None else (limit, False)
