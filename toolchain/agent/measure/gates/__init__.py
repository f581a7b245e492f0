"""Gates: what a candidate must reach. One a file; pure functions of the record and the manifest.

The order is that of gravity: what comes first is the reason of a candidate that fails several. A gate may declare limits
of its own, LIMITS (limit.py): recipes set them by name, and nothing between the recipe and the gate knows them.
"""

from __future__ import annotations

from typing import Dict, List, Protocol, Sequence, Tuple, cast

from ...errors import ExitCode, ToolchainError
from . import (
    drift,
    latency,
    measurement,
    memory,
    metric,
    outputs,
    parity,
    placement,
    precision,
    size,
    speed,
    start,
    throttling,
)
from .case import Case
from .limit import Limit
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
        ("what it is", (outputs, parity, metric, drift, precision, placement, size, memory)),
        ("whether it was measured", (measurement, throttling)),
        ("how fast it is", (speed, latency, start)),
    ),
)
_TIMED = ("whether it was measured", "how fast it is")


def judge_candidate(case: Case) -> Sequence[Row]:
    """Return a row for every gate, in order; those after a phase that failed are skipped, with the reason.

    On an emulated board latency says nothing and decides nothing; memory is the emulator's and the payload's together. Raises ToolchainError (exit 23): the manifest sets a
    limit that no gate here judges.
    """
    _refuse_unjudged(case)
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


def list_limits() -> Dict[str, Limit]:
    """Return the limits that gates declare as their own, by name."""
    gates = [gate for _, gates in PHASES for gate in gates]
    return {limit.name: limit for gate in gates for limit in getattr(gate, "LIMITS", ())}


def _refuse_unjudged(case: Case) -> None:
    """Refuse a limit that nothing would hold the candidate against, as one of a newer host is to an older agent."""
    known = list_limits()
    for name, value in case.manifest.gates.limits.items():
        problem = "no gate of this agent judges it" if name not in known else known[name].find_problem(value)
        if problem is not None:
            raise ToolchainError(
                ExitCode.MALFORMED,
                f"the manifest sets the limit {name}, and {problem}",
                where="manifest.json: gates.limits",
                expected=f"limits of {', '.join(sorted(known)) or 'none'}",
                found=f"{name} = {value:g}",
                fix="build the bundle again with the toolchain of this version",
            )
