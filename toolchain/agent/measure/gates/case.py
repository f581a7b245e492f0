"""What a gate judges: one candidate, in the record that it was measured in, by the manifest of its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ...manifest import Manifest
from ..record import CandidateRecord, Record


@dataclass(frozen=True)
class Case:
    """One candidate before its gates."""

    candidate: CandidateRecord
    record: Record
    manifest: Manifest

    @property
    def next_precision(self) -> Optional[str]:
        """The precision that comes after the candidate's in the target's order."""
        precisions = [candidate.precision for candidate in self.manifest.candidates]
        index = precisions.index(self.candidate.precision) + 1
        return precisions[index] if index < len(precisions) else None
