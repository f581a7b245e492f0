"""The gate on parity: a payload must compute what was lowered, on every output."""

from __future__ import annotations

from typing import Dict, List, Sequence

from ...errors import ExitCode, ToolchainError
from ...manifest import Gates, Manifest
from ..quantities import write_below, write_sqnr
from ..scoring import find_scoring
from .case import Case
from .row import Row, skip_row, write_row

NAME = "parity"
GROUP = "parity"

# Least SQNR of every output against the exported PyTorch model, in dB, where the recipe says nothing.
DEFAULT_SQNR_DB_MIN = {
    # 20 dB is an error of 10 % of the output's norm, near which classifiers begin to lose accuracy. A good int8 net
    # has 25 to 40 dB: an ideal 8-bit quantizer of a full-scale sine has 49.9 dB (6.02 bits + 1.76), many layers less.
    "int8": 20.0,
    # resnet18, resnet50, mobilenet_v2 and efficientnet_b0 reach 62 to 69 dB in fp16 (11 bits of precision).
    "fp16": 50.0,
    # Three bits of precision less than fp16, 6 dB each.
    "bf16": 32.0,
    # The same four reach 120 to 132 dB between PyTorch and ONNX Runtime; deep sums in another order lose some of it.
    "float32": 80.0,
}


def find_sqnr_db_min(gates: Gates, precision: str) -> float:
    """Return the SQNR gate of a precision in dB: the manifest's, or else the default."""
    if precision in gates.sqnr_db_min:
        return gates.sqnr_db_min[precision]
    if precision not in DEFAULT_SQNR_DB_MIN:
        known = ", ".join(DEFAULT_SQNR_DB_MIN)
        raise ToolchainError(
            ExitCode.MALFORMED,
            "there is no SQNR gate for a precision",
            where="gates",
            expected=known,
            found=precision,
            fix=f"set sqnr_db_min = {{ {precision} = … }} in [gates] of the recipe, and build the bundle again",
        )
    return DEFAULT_SQNR_DB_MIN[precision]


def find_output_sqnr_db_min(manifest: Manifest, precision: str) -> Dict[str, float]:
    """Return the SQNR gate of every output in dB: where the metric decided about a precision, its own for those that it reads."""
    names = [spec.name for spec in manifest.outputs]
    limits = dict.fromkeys(names, find_sqnr_db_min(manifest.gates, precision))
    scoring = find_scoring(manifest.metric)
    if precision in manifest.gates.task_sqnr_db_min and scoring is not None:
        limits.update(dict.fromkeys(scoring.list_read(names), manifest.gates.task_sqnr_db_min[precision]))
    return limits


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 18) every output that is too far from what was lowered, or not finite where that is."""
    evaluation = case.candidate.evaluation
    if evaluation is None or not evaluation.parity:
        return [skip_row(NAME, GROUP, "nothing was compared")]
    precision = case.candidate.precision
    limits = find_output_sqnr_db_min(case.manifest, precision)
    usual_db = find_sqnr_db_min(case.manifest.gates, precision)
    rows: List[Row] = []
    for output in evaluation.parity:
        failure, least_db = None, limits.get(output.output, usual_db)
        if output.nonfinite:
            failure = f"output {output.output}: {output.nonfinite} values are NaN or infinite"
        elif not output.sqnr_db >= least_db:
            told_db = write_below(output.sqnr_db, least_db)
            failure = f"output {output.output}: SQNR {told_db} dB is under {least_db:g} dB"
        measured = f"SQNR {write_sqnr(output.sqnr_db, output.max_abs, output.nonfinite, least_db)}"
        decides = f" ({case.manifest.metric.name} decides)" if least_db < usual_db else ""
        required, name = f"≥ {least_db:.1f} dB{decides}", f"{NAME} {output.output}"
        rows.append(write_row(name, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.PARITY))
    return rows
