"""Whose turn it is to be judged: by what the target prefers and by the speeds that were measured, before anything is evaluated."""

from __future__ import annotations

from typing import Collection, List, Optional, Sequence

from ..manifest import Manifest
from .latency import NOT_FASTER, decide, is_slower
from .quantiles import Ratio
from .record import CandidateRecord, Record

_UNKNOWN = Ratio(ratio=None, low=None, high=None)


def find_turn(record: Record, manifest: Manifest, judged: Collection[int]) -> Optional[int]:
    """Return the index of the candidate that is judged next; None where no other may be shipped.

    Precisions have their turn in the target's order. Within one, the first that is listed is judged first, unless another
    one is surely faster. Once one of them was rejected, those that cannot be shipped whatever they compute are left out.

    Args:
        record: what was measured; nothing of it needs to be evaluated.
        manifest: of the bundle.
        judged: the candidates that were judged, and rejected.
    """
    if record.pinned is not None:
        names = record.names
        pinned = names.index(record.pinned) if record.pinned in names else None
        return None if pinned in judged else pinned
    for group in _list_groups(record):
        waiting = [index for index in group if index not in judged]
        if len(waiting) < len(group):
            waiting = [index for index in waiting if _may_ship(record, manifest, index)]
        if waiting:
            return _choose(record, waiting)
    return None


def find_rival(record: Record, index: int) -> Optional[int]:
    """Return the fastest candidate of all later precisions, which this one has to beat; None in the last precision."""
    precision = record.candidates[index].precision
    later = [
        number for number, other in enumerate(record.candidates) if number > index and other.precision != precision
    ]
    return min(later, key=lambda number: _read_median_ms(record, number)) if later else None


def find_index(record: Record, candidate: CandidateRecord) -> int:
    """Return the place of a candidate in the order, whatever of it was evaluated since."""
    keys = [(other.precision, other.opening) for other in record.candidates]
    return keys.index((candidate.precision, candidate.opening))


def read_ratio(record: Record, index: int, later: int) -> Ratio:
    """Return how many times as long a later candidate takes as the one at this place; unknown where nobody told."""
    return record.candidates[index].over_later.get(record.names[later], _UNKNOWN)


def _list_groups(record: Record) -> Sequence[Sequence[int]]:
    groups: List[List[int]] = []
    for index, candidate in enumerate(record.candidates):
        if groups and record.candidates[groups[-1][0]].precision == candidate.precision:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _may_ship(record: Record, manifest: Manifest, index: int) -> bool:
    if manifest.gates.precision_required not in (None, record.candidates[index].precision):
        return False
    rival = find_rival(record, index)
    return rival is None or decide(read_ratio(record, index, rival)) != NOT_FASTER


def _choose(record: Record, waiting: Sequence[int]) -> int:
    first, *others = waiting
    faster = [index for index in others if is_slower(read_ratio(record, first, index))]
    return min(faster, key=lambda index: _read_median_ms(record, index)) if faster else first


def _read_median_ms(record: Record, index: int) -> float:
    median_ms = record.candidates[index].latency.p50_ms
    return 0.0 if median_ms is None else median_ms
