"""What a gate judges: one candidate, in the record that it was measured in, by the manifest of its bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ...manifest import Manifest
from ..quantiles import Ratio
from ..record import CandidateRecord, Record
from ..turns import find_index, find_rival, read_ratio


@dataclass(frozen=True)
class Case:
    """One candidate before its gates."""

    candidate: CandidateRecord
    record: Record
    manifest: Manifest

    @property
    def rival(self) -> Optional[Tuple[str, Ratio]]:
        """The fastest candidate of all later precisions, by its name, and how many times as long it takes; None in the last one."""
        index = find_index(self.record, self.candidate)
        rival = find_rival(self.record, index)
        return None if rival is None else (self.record.names[rival], read_ratio(self.record, index, rival))
