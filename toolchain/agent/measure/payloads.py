"""Opens the payloads of a bundle and measures them against each other: placement and latency."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ..candidates import Opening, name_openings
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from .conditions import Conditions, read_conditions
from .golden import GoldenArrays
from .latency import UNDECIDED, Measurement, decide, measure_latency
from .layer_pay import describe_unpaid
from .placement import Placement
from .quantiles import Latency, Ratio, summarize_latency
from .record import UnopenedReference
from .references import check_each_open, explain_unopened, list_references, may_stay_closed
from .session import BuildRequest, Session, find_runtime, open_session
from .settings import MeasureSettings
from .shapes import describe_difference
from .slowest import find_slowest
from .validity import Validity, find_contention, find_validity

OnProgress = Callable[[str, int, int], None]
"""Gets the step, what is done of it, and the total."""

# A measurement of a second that met a burst of other work is made again; a board that is busy all the time is told.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Payloads:
    """The opened payloads and what was measured of them, by how they are opened; what is opened alike in two roles is one.

    `measurement` is None on an emulated board, where latency means nothing; its series are called by `names`. `batch` is that of
    the latency, and `sample` the first that it was measured on. `conditions` are those of the board before and after the
    measurement, `validity` is what they and the series say of it. `references` are the float models that speed is held against,
    `unopened` those that one of several runtimes does not take.
    """

    sessions: Mapping[Opening, Session]
    builds: Mapping[Opening, BuildRequest]
    placements: Mapping[Opening, Placement]
    names: Mapping[Opening, str]
    references: Tuple[Opening, ...]
    unopened: Tuple[UnopenedReference, ...]
    measurement: Optional[Measurement]
    batch: int
    sample: int
    conditions: Optional[Tuple[Conditions, Conditions]]
    validity: Validity

    def close(self) -> None:
        """Close every session."""
        with ExitStack() as stack:
            for session in self.sessions.values():
                stack.callback(session.close)

    def summarize(self, opening: Opening) -> Latency:
        """Return the latency of a payload."""
        if self.measurement is None:
            return summarize_latency([], steady=False)
        return self.measurement.summarize(self.names[opening])

    def compare(self, slower: Opening, faster: Opening) -> Ratio:
        """Return the latency of one payload over that of another."""
        if self.measurement is None:
            return Ratio(ratio=None, low=None, high=None)
        if slower == faster:
            return Ratio(ratio=1.0, low=1.0, high=1.0)
        return self.measurement.compare(self.names[slower], self.names[faster])

    def list_samples_ms(self, opening: Opening) -> List[float]:
        """Return every latency sample of a payload; nothing where none was measured."""
        return [] if self.measurement is None else self.measurement.list_samples_ms(self.names[opening])


def _request_build(
    bundle_dir: Path,
    bundle_id: str,
    manifest: Manifest,
    golden: GoldenArrays,
    opening: Opening,
    on_progress: OnProgress,
    engines: Optional[Path],
) -> BuildRequest:
    return BuildRequest(
        bundle_dir=bundle_dir,
        bundle_id=bundle_id,
        shapes=golden.find_shapes(manifest.inputs),
        spec=manifest.build if opening not in list_references(manifest) else replace(manifest.build, dla_core=None),
        on_steps=lambda done, total: on_progress(f"build {opening.path}", done, total),
        engines=engines,
    )


def _bind_run(session: Session, feeds: Mapping[str, Any]) -> Callable[[], object]:
    return lambda: session.run(feeds)


def _decides_gates(measurement: Measurement, manifest: Manifest, names: Mapping[Opening, str]) -> bool:
    """Return whether more time could not change a gate, or what is shipped: p90 against its limit, and speed against others.

    A candidate's speed is asked against the fastest of all later precisions, and against the first of its own.
    """
    limit_ms = manifest.gates.latency_p90_ms_max
    medians_ms: Dict[Opening, float] = {}
    for opening in dict.fromkeys(candidate.opening for candidate in manifest.candidates):
        latency = measurement.summarize(names[opening])
        upper_ms, p90_ms = latency.p90_upper_ms, latency.p90_ms
        if limit_ms is not None and (upper_ms is None or p90_ms is None or p90_ms <= limit_ms < upper_ms):
            return False
        medians_ms[opening] = latency.p50_ms or 0.0
    for index, candidate in enumerate(manifest.candidates):
        own = candidate.opening
        later = [other.opening for other in manifest.candidates[index:] if other.precision != candidate.precision]
        first = next(other.opening for other in manifest.candidates if other.precision == candidate.precision)
        pairs = [(min(later, key=lambda opening: medians_ms[opening]), own)] if later else []
        for slower, faster in [*pairs, (first, own)]:
            if slower != faster and decide(measurement.compare(names[slower], names[faster])) == UNDECIDED:
                return False
    return True


def _measure_undisturbed(
    measure: Callable[[], Measurement],
) -> Tuple[Measurement, Tuple[Conditions, Conditions], Validity]:
    """Measure, and again where others used the board meanwhile; return the last measurement and what speaks against it.

    What others use is read from the system's own counters, never from the latencies: choosing by those would flatter.
    """
    disturbed = 0
    while True:
        before = read_conditions(Path("/"))
        measurement = measure()
        conditions = (before, read_conditions(Path("/")))
        if disturbed + 1 == _ATTEMPTS or not find_contention(*conditions):
            break
        disturbed += 1
    validity = find_validity(measurement, *conditions)
    if disturbed:
        note = f"{disturbed} measurement{'s' if disturbed > 1 else ''} before this one did not count: others used the board"
        validity = replace(validity, notes=(*validity.notes, note))
    return measurement, conditions, validity


def measure_payloads(
    bundle_dir: Path,
    manifest: Manifest,
    golden: GoldenArrays,
    *,
    bundle_id: str,
    settings: MeasureSettings,
    speed_memory: Optional[Path],
    engines: Optional[Path] = None,
    on_progress: OnProgress,
) -> Payloads:
    """Open the references and every candidate, and measure them interleaved on one sample of the evaluation set (slowest.py).

    A reference that one of several runtimes does not take is left out, as long as another one opens it. Raises ToolchainError
    as open_session does, and exit 23 for a payload whose inputs are not those of the manifest.
    """
    references = list_references(manifest)
    wanted = list(dict.fromkeys([*references, *(candidate.opening for candidate in manifest.candidates)]))
    sessions: Dict[Opening, Session] = {}
    unopened: List[UnopenedReference] = []
    builds = {
        opening: _request_build(bundle_dir, bundle_id, manifest, golden, opening, on_progress, engines)
        for opening in wanted
    }
    with ExitStack() as stack:  # what is open is closed, should anything here fail
        for done, opening in enumerate(wanted, start=1):
            try:
                session = open_session(
                    opening.runtime,
                    bundle_dir / opening.path,
                    opening.threads,
                    builds[opening],
                    pins_threads=opening.pins_threads,
                )
            except ToolchainError as error:
                if not may_stay_closed(opening, manifest, error):
                    raise
                unopened.append(explain_unopened(opening, error))
                continue
            sessions[opening] = session
            stack.callback(session.close)
            _check_inputs(manifest, session, opening)
            on_progress("open", done, len(wanted))
        opened = tuple(opening for opening in references if opening in sessions)
        check_each_open(manifest, opened, unopened)
        ours = _find_ours(manifest, sessions)
        batch = golden.find_batch(ours.inputs) or 1
        sample = 0 if manifest.emulated else _find_slowest(ours, golden, batch)
        feeds = golden.read_inputs(sample, sample + batch)
        placements = _read_placements(bundle_dir, manifest, feeds, builds, on_progress)
        names = name_openings(list(sessions))
        measurement, conditions, validity = None, None, Validity()
        if not manifest.emulated:
            measurement, conditions, validity = _measure_undisturbed(
                lambda: measure_latency(
                    {names[opening]: _bind_run(session, feeds) for opening, session in sessions.items()},
                    samples=settings.latency_samples,
                    limit_s=settings.latency_limit_s,
                    on_progress=lambda done, total: on_progress("latency", done, total),
                    is_decided=lambda measured: _decides_gates(measured, manifest, names),
                    memory=speed_memory,
                )
            )
            if sample:
                note = f"latency is that of sample {sample} of the evaluation set, on which the model takes longer than on the first"
                validity = replace(validity, notes=(*validity.notes, note))
            if not validity.problems and len(manifest.runtimes) == 1:
                runtime = find_runtime(manifest.runtimes[0])
                notes = describe_unpaid(runtime, bundle_dir, manifest, placements, feeds, builds)
                validity = replace(validity, notes=(*validity.notes, *notes))
        stack.pop_all()
    return Payloads(
        sessions=sessions,
        builds=builds,
        placements=placements,
        names=names,
        references=opened,
        unopened=tuple(dict.fromkeys(unopened)),
        measurement=measurement,
        batch=batch,
        sample=sample,
        conditions=conditions,
        validity=validity,
    )


def _find_ours(manifest: Manifest, sessions: Mapping[Opening, Session]) -> Session:
    return next(session for opening, session in sessions.items() if opening.path == manifest.reference)


def _find_slowest(session: Session, golden: GoldenArrays, batch: int) -> int:
    starts = range(0, golden.samples - batch + 1, batch)
    return find_slowest(lambda start: _bind_run(session, golden.read_inputs(start, start + batch)), starts)


def _check_inputs(manifest: Manifest, session: Session, opening: Opening) -> None:
    difference = describe_difference(manifest.inputs, session.inputs)
    if difference is not None:
        what = "a payload's inputs are not those of the manifest"
        fix = "build the bundle again: `toolchain deploy`"
        raise ToolchainError(ExitCode.MALFORMED, what, where=opening.path, found=difference, fix=fix)


def _read_placements(
    bundle_dir: Path,
    manifest: Manifest,
    feeds: Mapping[str, Any],
    builds: Mapping[Opening, BuildRequest],
    on_progress: OnProgress,
) -> Mapping[Opening, Placement]:
    """Return where the layers of every candidate run; of two thread counts, one file of a runtime is looked at once for each."""
    openings = list(dict.fromkeys(candidate.opening for candidate in manifest.candidates))
    placements: Dict[Opening, Placement] = {}
    for done, opening in enumerate(openings, start=1):
        runtime = find_runtime(opening.runtime)
        path = bundle_dir / opening.path
        placements[opening] = runtime.read_placement(path, opening.threads, feeds, builds[opening])
        on_progress("placement", done, len(openings))
    return placements
