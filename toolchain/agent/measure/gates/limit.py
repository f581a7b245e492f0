"""A limit that a gate declares: recipes set it under [gates], and the manifest carries it to the board by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Limit:
    """One option of one gate; a recipe that leaves it out asks for nothing."""

    name: str
    """What recipes write; it ends in its unit where it has one, and in _max or _min."""
    least: float
    most: float
    is_whole: bool
    """Whether it is a count, such as of bytes."""

    def describe(self) -> str:
        """Return what may be written, for messages."""
        return f"a {'whole ' if self.is_whole else ''}number from {self.least:g} to {self.most:g}"

    def find_problem(self, value: object) -> Optional[str]:
        """Return what of a value is wrong; None where it is a limit."""
        # bool is a subclass of int in Python, and true is no number.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return "it is no number"
        if not self.least <= value <= self.most:  # NaN too
            return "it is out of range"
        return "it is no whole number" if self.is_whole and value != int(value) else None
