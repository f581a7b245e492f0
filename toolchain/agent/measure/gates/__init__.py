"""Gates: what a candidate must reach. One a file; pure functions of the record and the manifest.

The order is that of gravity: what comes first is the reason of a candidate that fails several.
"""

from __future__ import annotations

from typing import List, Protocol, Sequence, Tuple, cast

from . import drift, latency, measurement, metric, outputs, parity, placement, precision, speed, throttling
from .case import Case
from .row import Row, skip_row

__all__ = ["Case", "Row", "judge_candidate"]


class Gate(Protocol):
    """A module of this folder."""

    NAME: str
    GROUP: str

    def judge(self, case: Case) -> Sequence[Row]:
        """Return the rows of this gate."""


# A candidate that fails in one phase is not judged by the next: a wrong payload has no latency worth telling, and of a
# disturbed measurement none holds.
PHASES = cast(
    "Tuple[Tuple[str, Tuple[Gate, ...]], ...]",
    (
        ("what it computes", (outputs, parity, metric, drift, precision, placement)),
        ("whether it was measured", (measurement, throttling)),
        ("how fast it is", (speed, latency)),
    ),
)
_TIMED = ("whether it was measured", "how fast it is")


def judge_candidate(case: Case) -> Sequence[Row]:
    """Return a row for every gate, in order; those after a phase that failed are skipped, with the reason.

    On an emulated board latency says nothing and decides nothing.
    """
    rows: List[Row] = []
    stopped = None
    for phase, gates in PHASES:
        if case.manifest.emulated and phase in _TIMED:
            stopped = stopped or "latency on an emulated board is no measurement"
        if stopped is not None:
            rows += [skip_row(gate.NAME, gate.GROUP, stopped) for gate in gates]
            continue
        judged = [row for gate in gates for row in gate.judge(case)]
        rows += judged
        failed = [row.name for row in judged if row.status in ("failed", "invalid")]
        if failed:
            stopped = f"not judged, after {failed[0]}"
    return rows
