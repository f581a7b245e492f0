"""The judge: which candidate is shipped, and the verdict. One pure function of record and manifest.

The board judges to know what to activate; the host judges again, from the same values, and believes only itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Sequence, Tuple

from ..errors import ExitCode
from ..manifest import Manifest
from .gates import Case, Row, judge_candidate
from .gates.row import write_row
from .record import CandidateRecord, Record
from .turns import find_index, find_turn


@dataclass(frozen=True)
class JudgedCandidate:
    """A candidate's rows, and what becomes of it: shipped, rejected or not needed. `name` is what people call it."""

    name: str
    precision: str
    status: str
    rows: Tuple[Row, ...]

    @property
    def failures(self) -> Sequence[Row]:
        """The rows for which it is rejected, the gravest first."""
        return [row for row in self.rows if row.status in ("failed", "invalid")]


@dataclass(frozen=True)
class Shipped:
    """The payload that the verdict is about, and how it is opened."""

    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Judgement:
    """The verdict: pass, fail or invalid, its exit code, and the reasons of every candidate that is not shipped."""

    verdict: str
    exit_code: ExitCode
    reasons: Tuple[str, ...]
    shipped: Optional[Shipped]
    candidates: Tuple[JudgedCandidate, ...]


def judge_record(record: Record, manifest: Manifest) -> Judgement:
    """Return the verdict on what was measured.

    In their turns (turns.py), the first candidate that passes is shipped. What comes after one whose measurement is worthless
    would be shipped because of noise, and is not. Where a candidate is pinned, it alone may be.
    """
    judged: Dict[int, JudgedCandidate] = {}
    turn = find_turn(record, manifest, judged)
    while turn is not None:
        judged[turn] = judge_one(record.candidates[turn], record, manifest)
        turn = None if settles(judged[turn]) else find_turn(record, manifest, judged)
    names = record.names
    candidates = tuple(
        judged.get(index) or JudgedCandidate(names[index], candidate.precision, "not needed", ())
        for index, candidate in enumerate(record.candidates)
    )
    exit_code = _decide(candidates)
    shipped = [record.candidates[index] for index, item in enumerate(candidates) if item.status == "shipped"]
    return Judgement(
        verdict={ExitCode.PROVEN: "pass", ExitCode.INVALID: "invalid"}.get(exit_code, "fail"),
        exit_code=exit_code,
        reasons=tuple(f"{item.name}: {row.reason}" for item in candidates for row in item.failures),
        shipped=_describe(shipped[0]) if shipped else None,
        candidates=candidates,
    )


def judge_one(candidate: CandidateRecord, record: Record, manifest: Manifest) -> JudgedCandidate:
    """Return what becomes of a candidate whose turn it is."""
    rows = tuple(judge_candidate(Case(candidate=candidate, record=record, manifest=manifest)))
    if candidate.evaluation is None:
        failure = "it was not run, and nothing before it was shipped"
        unrun = write_row(
            "outputs", "parity", measured="nothing", required="a run", failure=failure, code=ExitCode.INVALID
        )
        rows = (unrun, *rows[1:])
    is_rejected = any(row.status in ("failed", "invalid") for row in rows)
    name = record.names[find_index(record, candidate)]
    return JudgedCandidate(name, candidate.precision, "rejected" if is_rejected else "shipped", rows)


def settles(judged: JudgedCandidate) -> bool:
    """Return whether no other candidate is judged after this one: it is shipped, or its measurement is worthless."""
    return judged.status == "shipped" or judged.failures[0].code == ExitCode.INVALID


def _describe(candidate: CandidateRecord) -> Shipped:
    payload = candidate.payload
    return Shipped(
        precision=candidate.precision,
        runtime=candidate.runtime,
        threads=candidate.threads,
        pins_threads=candidate.pins_threads,
        path=payload.path,
        size_bytes=payload.size_bytes,
        sha256=payload.sha256,
    )


def _decide(candidates: Sequence[JudgedCandidate]) -> ExitCode:
    # The first reason of the first candidate, unless one had its turn and could not be measured: it may well pass next time.
    if any(item.status == "shipped" for item in candidates):
        return ExitCode.PROVEN
    codes = [ExitCode(item.failures[0].code) for item in candidates if item.failures]
    return ExitCode.INVALID if ExitCode.INVALID in codes or not codes else codes[0]
