"""The record: everything that was measured of a bundle on one board, typed. Gates are judged from it alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple, cast

from ..candidates import Opening, name_candidates
from ..decode import decode
from ..errors import ExitCode, ToolchainError
from .by_class import ClassScore
from .conditions import Conditions
from .drift import OutputDrift
from .facts import Facts
from .footprint.figures import Footprint
from .layer_times import LayerTimes
from .parity import OutputParity
from .placement import Placement
from .quantiles import Latency, Ratio
from .session import EngineFacts
from .validity import Validity
from .worst import WorstSample

RECORD_SCHEMA = 9


@dataclass(frozen=True)
class Payload:
    """One payload file of the bundle, and the engine that was built of it, if the runtime builds one."""

    path: str
    size_bytes: int
    sha256: str
    engine: Optional[EngineFacts]


@dataclass(frozen=True)
class ReferenceRecord:
    """A float model that candidates are held against: the user's own file, or ours of it, opened in one of the target's ways."""

    payload: Payload
    runtime: str
    threads: int
    pins_threads: bool
    is_original: bool
    """The user's own file; elsewhere our optimized float graph."""
    latency: Latency

    @property
    def opening(self) -> Opening:
        """How it was opened."""
        return Opening(self.payload.path, self.runtime, threads=self.threads, pins_threads=self.pins_threads)


@dataclass(frozen=True)
class UnopenedReference:
    """A float model that one of several runtimes does not open, and why: it is held against as the others open it."""

    path: str
    runtime: str
    reason: str


@dataclass(frozen=True)
class MetricResult:
    """The task metric of a candidate, against that of the user's uncompressed float model, in the metric's unit.

    drop: by how much it is worse, whatever the metric's direction; below 0 where it is better. drop_upper: what it is at the
    most with 99 % confidence, drop_lower at the least (bootstrap.py); None where the metric has no interval.
    """

    name: str
    reference: float
    deployed: float
    drop: float
    samples: int
    drop_lower: Optional[float]
    drop_upper: Optional[float]


@dataclass(frozen=True)
class Evaluation:
    """What a payload returned for the evaluation set. `mismatch` says that its outputs cannot be compared, and why.

    parity is against what was lowered, drift against the model that the user brought; metric is None where there is none.
    """

    mismatch: Optional[str]
    parity: Tuple[OutputParity, ...]
    drift: Tuple[OutputDrift, ...]
    metric: Optional[MetricResult]
    samples: int
    by_class: Tuple[ClassScore, ...] = ()
    worst: Tuple[WorstSample, ...] = ()


@dataclass(frozen=True)
class EndToEnd:
    """What the way from a sensor's frame to answers takes (end_to_end.py): medians of one frame at a time, in ms.

    Of a sound nothing is prepared, and without a decoder nothing decoded.
    """

    frame_width: Optional[int]
    frame_height: Optional[int]
    pre_ms: float
    model_ms: float
    post_ms: float
    runs: int


@dataclass(frozen=True)
class CandidateRecord:
    """What was measured of one candidate; evaluation is None where another one was shipped before it."""

    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    payload: Payload
    evaluation: Optional[Evaluation]
    placement: Placement
    latency: Latency
    over_reference: Ratio
    """How many times as long the fastest reference takes."""
    over_later: Mapping[str, Ratio]
    """How many times as long each candidate takes that comes later in the order, by its name."""
    end_to_end: Optional[EndToEnd] = None
    """With what comes before and after the payload; None where no sensor is described, and where no time is measured."""
    footprint: Optional[Footprint] = None
    """Memory, and the time to the first answer; None where nothing was evaluated, and on an emulated board that was not asked."""
    layer_times: Optional[LayerTimes] = None
    """Of the payload that a report describes: no verdict asks them. None where no time is measured."""

    @property
    def opening(self) -> Opening:
        """How it was opened."""
        return Opening(self.payload.path, self.runtime, threads=self.threads, pins_threads=self.pins_threads)


@dataclass(frozen=True)
class Record:
    """What one verification of a bundle measured.

    `references` are in the order of the manifest, in each of the target's ways; `fastest` is the index of the one that speed is
    held against. `devices` is what the board is by each runtime. `latency_sample` is the first of the samples that latency was
    measured on, `batch` of them. `conditions` are those of the board before and after that, None on an emulated one. `pinned` is
    the candidate that was to be proven, by its name, None where the order of the target chooses.
    """

    schema: int
    bundle_id: str
    devices: Mapping[str, Facts]
    batch: int
    latency_sample: int
    latency_scope: str
    references: Tuple[ReferenceRecord, ...]
    unopened: Tuple[UnopenedReference, ...]
    fastest: int
    candidates: Tuple[CandidateRecord, ...]
    conditions: Tuple[Conditions, ...]
    throttled: Optional[bool]
    validity: Validity
    pinned: Optional[str]
    environments: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """What the verdict rests on beside the bundle: libraries, kernel, driver (environment.py), by runtime."""

    @property
    def reference(self) -> ReferenceRecord:
        """The float model that is the fastest here."""
        return self.references[self.fastest]

    @property
    def names(self) -> Tuple[str, ...]:
        """What people call the candidates, in their order."""
        return name_candidates(self.candidates)


def read_record(document: object) -> Record:
    """Return the record in the JSON that a board sent.

    Raises ToolchainError (exit 23): an unknown or missing key, a wrong type, a number that is not finite, another schema.
    """
    fix = "deploy again, so that the board gets this toolchain's agent"
    try:
        record = cast("Record", decode(Record, document, "record"))
    except ToolchainError as error:
        what = "what the board measured cannot be read"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where=error.where, expected=error.expected, found=error.found, fix=fix
        ) from error
    if record.schema != RECORD_SCHEMA or not 0 <= record.fastest < len(record.references):
        what = "what the board measured was written by another toolchain"
        raise ToolchainError(
            ExitCode.MALFORMED,
            what,
            where="record",
            expected=f"schema {RECORD_SCHEMA}",
            found=str(record.schema),
            fix=fix,
        )
    return record
