"""The gate on outputs: all of them, under their names, with their types and shapes, for every sample."""

from __future__ import annotations

from typing import Optional, Sequence

from ...errors import ExitCode
from ..quantities import write_count
from ..record import Evaluation
from .case import Case
from .row import Row, skip_row, write_row

NAME = "outputs"
GROUP = "parity"


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 18) a candidate whose outputs are not those of the manifest, or were not compared all."""
    evaluation = case.candidate.evaluation
    if evaluation is None:
        return [skip_row(NAME, GROUP, "it was not run")]
    names = [spec.name for spec in case.manifest.outputs]
    required = f"{write_count(len(names), 'output')}, {write_count(case.manifest.golden.samples, 'sample')}"
    measured = f"{write_count(len(evaluation.parity), 'output')}, {write_count(evaluation.samples, 'sample')}"
    failure = evaluation.mismatch or _find_gap(evaluation, names, case.manifest.golden.samples)
    return [write_row(NAME, GROUP, measured=measured, required=required, failure=failure, code=ExitCode.PARITY)]


def _find_gap(evaluation: Evaluation, names: Sequence[str], samples: int) -> Optional[str]:
    for what, rows in (("parity", evaluation.parity), ("drift", evaluation.drift)):
        found = [row.output for row in rows]
        if sorted(found) != sorted(names):
            return f"{what} was measured of the outputs {', '.join(found) or 'none'}, not of {', '.join(names)}"
    if evaluation.samples != samples:
        return f"{evaluation.samples} samples were run, not the {samples} of the evaluation set"
    return None
