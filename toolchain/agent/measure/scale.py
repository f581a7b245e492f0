"""Scales: what a number of a metric means, and which of two is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

FRACTION_UNIT = "fraction"


@dataclass(frozen=True)
class Scale:
    """The unit of a metric, and where it goes from and to; a bound that it does not have is infinite.

    unit: a "fraction" is written as per cent and points; any other, such as "px", is written behind the number, and ""
    is none.
    """

    unit: str
    worst: float
    best: float

    @property
    def has_direction(self) -> bool:
        """Whether one bound is better than the other: they differ, and neither is NaN."""
        return self.best > self.worst or self.best < self.worst

    @property
    def direction(self) -> str:
        """Which values are better: "higher" or "lower"."""
        return "higher" if self.best > self.worst else "lower"

    def contains(self, value: float) -> bool:
        """Return whether the metric can have this value; it cannot be NaN."""
        return min(self.worst, self.best) <= value <= max(self.worst, self.best)

    def measure_drop(self, reference: float, value: float) -> float:
        """Return by how much a value is worse than the reference: above 0 where it is, whatever the direction."""
        return reference - value if self.direction == "higher" else value - reference

    def choose_drop_max(self, asked: Optional[float], share: float, reference: float) -> float:
        """Return how much a metric may drop: what was asked, else a default.

        share: of a fraction this much itself, and in any other unit this share of the reference.
        """
        if asked is not None:
            return asked
        return share if self.unit == FRACTION_UNIT else share * abs(reference)


FRACTION = Scale(unit=FRACTION_UNIT, worst=0.0, best=1.0)
"""A share of samples, or what is read as one: the more, the better."""
