"""Which of several lowered models a deploy would ship, by the rules of the agent: its turns.py and gates/speed.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median

from toolchain.agent.measure.latency import NOT_FASTER, Measurement, decide, is_slower


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model of ours, as it is lowered in a precision for a runtime."""

    precision: str
    runtime: str

    @property
    def name(self) -> str:
        """What it is called in the measurement."""
        return f"{self.precision} {self.runtime}"


def choose_shipped(
    candidates: Sequence[Candidate], measurement: Measurement, *, rejected: Collection[Candidate] = ()
) -> Candidate | None:
    """Return the candidate that would be shipped; None where none would.

    Args:
        candidates: in the target's order, precision by precision.
        measurement: of all of them, by their names.
        rejected: those that lose more than the recipe's gate allows.
    """
    for precision in dict.fromkeys(candidate.precision for candidate in candidates):
        group = [candidate for candidate in candidates if candidate.precision == precision]
        later = candidates[candidates.index(group[-1]) + 1 :]
        waiting = [one for one in group if one not in rejected and _pays(one, later, measurement)]
        if waiting:
            faster = [one for one in waiting if is_slower(measurement.compare(one.name, waiting[0].name))]
            return _find_fastest(faster, measurement) if faster else waiting[0]
    return None


def _pays(candidate: Candidate, later: Sequence[Candidate], measurement: Measurement) -> bool:
    """Return whether it may be faster than the fastest of all later precisions."""
    if not later:
        return True
    rival = _find_fastest(later, measurement)
    return decide(measurement.compare(rival.name, candidate.name)) != NOT_FASTER


def _find_fastest(candidates: Sequence[Candidate], measurement: Measurement) -> Candidate:
    return min(candidates, key=lambda one: median(measurement.list_samples_ms(one.name)))
