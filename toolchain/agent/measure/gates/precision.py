"""The gate on precision: what is shipped under a name really ran at it, and is the one that the recipe demands."""

from __future__ import annotations

from typing import Sequence

from ...errors import ExitCode
from .case import Case
from .row import Row, write_row

NAME = "precision"
GROUP = "placement"


def judge(case: Case) -> Sequence[Row]:
    """Fail (exit 19) a precision that the recipe does not want, and one that nothing of the payload ran at.

    It has the exit code of latency: int8 that falls back to float is a promise of speed that was not kept.
    """
    precision, demanded = case.candidate.precision, case.manifest.gates.precision_required
    placement = case.candidate.placement
    ran = precision == "float32" or precision in {layer.precision for layer in placement.layers}
    required = demanded or f"layers in {precision}"
    failure = None
    if demanded not in (None, precision):
        failure = f"the recipe demands {demanded}, and this is {precision}"
    elif not ran:
        failure = f"no layer ran in {precision}: this payload is another precision by that name"
    return [write_row(NAME, GROUP, measured=precision, required=required, failure=failure, code=ExitCode.LATENCY)]
