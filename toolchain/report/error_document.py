"""Builds report.json of a run that an error stopped; it needs nothing that may be what is missing, such as numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from toolchain.agent.measure.quantities import ABSENT
from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.explanation_shape import Explanation
from toolchain.report.shape import SCHEMA, Gate, GateStatus, Report, RunError, Stage
from toolchain.run.stage_record import StageRecord

# The gate that an error which stopped the run belongs to.
_GROUP_OF_ERROR = {
    ExitCode.SIGNATURE: "signature",
    ExitCode.CONTENT: "contents",
    ExitCode.PARITY: "parity",
    ExitCode.METRIC: "metric",
    ExitCode.LATENCY: "latency",
    ExitCode.INVALID: "measurement",
}


def build_error_report(
    *,
    error: ToolchainError,
    model: str,
    target: str,
    stages: Sequence[StageRecord],
    provenance: Mapping[str, Any],
) -> Report:
    """Return report.json for a run that an error stopped before there was anything to measure."""
    return Report(
        schema=SCHEMA,
        verdict="invalid" if error.code is ExitCode.INVALID else "fail",
        reasons=[error.what],
        exit_code=int(error.code),
        model=model,
        target=target,
        device=None,
        precision=None,
        bundle_id=None,
        signature="not checked",
        signer=None,
        emulated=False,
        warnings=[],
        artifact=None,
        shipped=None,
        reference=None,
        original=None,
        metric=None,
        parity=[],
        drift=[],
        latency=None,
        end_to_end=None,
        footprint=None,
        input=None,
        classes=[],
        placement=None,
        gates=_list_gates(error.code, error.what),
        candidates=[],
        stages=[record_stage(stage) for stage in stages],
        provenance=replace_nonfinite(provenance),
        expires_when=None,
        explanation=Explanation(layers=None, by_class=[], worst_samples=[], ranges=[]),
        error=cast(RunError, error.to_dict()),
    )


def _list_gates(code: ExitCode, what: str) -> list[Gate]:
    """Return the gates of a run that an error stopped: the verdict, and the gate that the error is about."""
    groups = ["verdict", _GROUP_OF_ERROR[code]] if code in _GROUP_OF_ERROR else ["verdict"]
    status: GateStatus = "invalid" if code is ExitCode.INVALID else "failed"
    return [
        Gate(name=group, group=group, status=status, required="pass", measured=ABSENT, reason=what) for group in groups
    ]


def record_stage(stage: StageRecord) -> Stage:
    """Return a stage as report.json has it."""
    return cast(Stage, asdict(stage))


def replace_nonfinite(value: Any) -> Any:
    """Return JSON types without what JSON cannot hold: infinite numbers and NaN become None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_nonfinite(item) for item in value]
    return value
