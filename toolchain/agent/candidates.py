"""The candidates of a bundle: payloads that may be shipped, each in a precision, and how each is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Protocol, Sequence, Tuple

# Each is opened, and measured against the others: two precisions of two runtimes on up to eight thread counts.
CANDIDATES_MAX = 32


class Way(Protocol):
    """What says by which runtime a payload is opened, on how many threads, and whether each of these keeps to a CPU of its own."""

    @property
    def runtime(self) -> str: ...

    @property
    def threads(self) -> int: ...

    @property
    def pins_threads(self) -> bool: ...


class Variant(Way, Protocol):
    """A candidate, or what was measured of one."""

    @property
    def precision(self) -> str: ...


@dataclass(frozen=True)
class Opening:
    """How a payload is opened: its path in the bundle, by which runtime, on how many threads, pinned to CPUs or not."""

    path: str
    runtime: str
    threads: int
    pins_threads: bool


@dataclass(frozen=True)
class Candidate:
    """A payload that may be shipped: its precision, and how it is opened."""

    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    path: str

    @property
    def opening(self) -> Opening:
        """How it is opened."""
        return Opening(self.path, runtime=self.runtime, threads=self.threads, pins_threads=self.pins_threads)


def name_candidates(candidates: Sequence[Variant]) -> Tuple[str, ...]:
    """Return what people call candidates: the precision, with the runtime and the threads where these differ among them."""
    parts = _name_ways(candidates)
    return tuple(
        " ".join([candidate.precision, *part])
        for candidate, part in zip(candidates, parts)  # noqa: B905 - Python 3.8 has no strict
    )


def name_openings(openings: Sequence[Opening]) -> Dict[Opening, str]:
    """Return what the openings of payloads are called: the path, with the runtime and the threads where these differ."""
    parts = _name_ways(openings)
    return {
        opening: " ".join([opening.path, *part])
        for opening, part in zip(openings, parts)  # noqa: B905 - Python 3.8 has no strict
    }


def _name_ways(ways: Sequence[Way]) -> Sequence[Sequence[str]]:
    has_runtimes = len({way.runtime for way in ways}) > 1
    has_threads = len({way.threads for way in ways}) > 1
    has_pinned = len({way.pins_threads for way in ways}) > 1
    return [
        [
            *([way.runtime] if has_runtimes else []),
            *([str(way.threads)] if has_threads else []),
            *(["pinned"] if has_pinned and way.pins_threads else []),
            *(["thread" if way.threads == 1 else "threads"] if has_threads else []),
        ]
        for way in ways
    ]
