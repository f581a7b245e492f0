"""Whether a measurement of latency is worth anything, and what is to be known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Validity:
    """`problems` make the measurement worthless, `notes` are to be told, `unknown` are sensors that cannot be read."""

    problems: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()
    unknown: Tuple[str, ...] = ()
