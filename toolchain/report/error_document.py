"""Builds report.json of a run that an error stopped: with the standard library alone, as numpy may be what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.gates import list_gates_of_error
from toolchain.report.shape import SCHEMA, Report, RunError, Stage
from toolchain.stage_record import StageRecord


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
        placement=None,
        gates=list_gates_of_error(error.code, error.what),
        candidates=[],
        stages=[record_stage(stage) for stage in stages],
        provenance=replace_nonfinite(provenance),
        expires_when=None,
        error=cast(RunError, error.to_dict()),
    )


def record_stage(stage: StageRecord) -> Stage:
    """Return a stage as report.json has it."""
    return cast(Stage, asdict(stage))


def replace_nonfinite(value: Any) -> Any:
    """Return JSON types with None for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [replace_nonfinite(item) for item in value]
    return value
