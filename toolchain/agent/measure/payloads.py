"""Opens the payloads of a bundle and measures them against each other: placement and latency."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from .conditions import Conditions, read_conditions
from .golden import GoldenArrays
from .latency import UNDECIDED, Measurement, decide, measure_latency
from .layer_pay import describe_unpaid
from .placement import Placement
from .quantiles import Latency, Ratio, summarize_latency
from .session import BuildRequest, Session, find_runtime, open_session
from .settings import MeasureSettings
from .shapes import describe_difference
from .validity import Validity, find_contention, find_validity

OnProgress = Callable[[str, int, int], None]
"""Gets the step, what is done of it, and the total."""

# A measurement of a second that met a burst of other work is made again; a board that is busy all the time is told.
_ATTEMPTS = 3


@dataclass(frozen=True)
class Payloads:
    """The opened payloads and what was measured of them, by path; a file in two roles is one payload.

    `measurement` is None on an emulated board, where latency means nothing; `batch` is that of the latency. `conditions`
    are those of the board before and after the measurement, `validity` is what they and the series say of it.
    """

    sessions: Mapping[str, Session]
    builds: Mapping[str, BuildRequest]
    placements: Mapping[str, Placement]
    measurement: Optional[Measurement]
    batch: int
    conditions: Optional[Tuple[Conditions, Conditions]]
    validity: Validity

    def close(self) -> None:
        """Close every session."""
        with ExitStack() as stack:
            for session in self.sessions.values():
                stack.callback(session.close)

    def summarize(self, path: str) -> Latency:
        """Return the latency of a payload."""
        if self.measurement is None:
            return summarize_latency([], steady=False)
        return self.measurement.summarize(path)

    def compare(self, slower: str, faster: str) -> Ratio:
        """Return the latency of one payload over that of another."""
        if self.measurement is None:
            return Ratio(ratio=None, low=None, high=None)
        if slower == faster:
            return Ratio(ratio=1.0, low=1.0, high=1.0)
        return self.measurement.compare(slower, faster)


def list_references(manifest: Manifest) -> Sequence[str]:
    """Return the paths of the float models that candidates are held against: the user's own file, and ours of it."""
    original = manifest.original.path
    return list(dict.fromkeys([*([] if original is None else [original]), manifest.reference]))


def _request_builds(
    bundle_dir: Path,
    bundle_id: str,
    manifest: Manifest,
    golden: GoldenArrays,
    path: str,
    on_progress: OnProgress,
    engines: Optional[Path],
) -> BuildRequest:
    return BuildRequest(
        bundle_dir=bundle_dir,
        bundle_id=bundle_id,
        shapes=golden.find_shapes(manifest.inputs),
        spec=manifest.build if path not in list_references(manifest) else replace(manifest.build, dla_core=None),
        on_steps=lambda done, total: on_progress(f"build {path}", done, total),
        engines=engines,
    )


def _bind_run(session: Session, feeds: Mapping[str, Any]) -> Callable[[], object]:
    return lambda: session.run(feeds)


def _decides_gates(measurement: Measurement, manifest: Manifest) -> bool:
    """Return whether more time could not change a gate: speed against the next candidate, and p90 against its limit."""
    paths = [candidate.path for candidate in manifest.candidates]
    limit_ms = manifest.gates.latency_p90_ms_max
    for index, path in enumerate(paths):
        latency = measurement.summarize(path)
        upper_ms, p90_ms = latency.p90_upper_ms, latency.p90_ms
        if limit_ms is not None and (upper_ms is None or p90_ms is None or p90_ms <= limit_ms < upper_ms):
            return False
        following = paths[index + 1 : index + 2]
        if following and following[0] != path and decide(measurement.compare(following[0], path)) == UNDECIDED:
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
    """Open the references and every candidate, and measure them interleaved on the first sample of the evaluation set.

    Raises ToolchainError as open_session does, and exit 23 for a payload whose inputs are not those of the manifest.
    """
    paths = list(dict.fromkeys([*list_references(manifest), *(candidate.path for candidate in manifest.candidates)]))
    sessions: Dict[str, Session] = {}
    builds = {
        path: _request_builds(bundle_dir, bundle_id, manifest, golden, path, on_progress, engines) for path in paths
    }
    with ExitStack() as stack:  # what is open is closed, should anything here fail
        for done, path in enumerate(paths, start=1):
            sessions[path] = open_session(manifest.runtime, bundle_dir / path, manifest.threads, builds[path])
            stack.callback(sessions[path].close)
            difference = describe_difference(manifest.inputs, sessions[path].inputs)
            if difference is not None:
                what = "a payload's inputs are not those of the manifest"
                raise ToolchainError(
                    ExitCode.MALFORMED,
                    what,
                    where=path,
                    found=difference,
                    fix="build the bundle again: `toolchain deploy`",
                )
            on_progress("open", done, len(paths))
        batch = golden.find_batch(sessions[manifest.reference].inputs) or 1
        feeds = golden.read_inputs(0, batch)
        runtime = find_runtime(manifest.runtime)
        placements: Dict[str, Placement] = {}
        for done, path in enumerate(paths, start=1):
            placements[path] = runtime.read_placement(bundle_dir / path, manifest.threads, feeds, builds[path])
            on_progress("placement", done, len(paths))
        measurement, conditions, validity = None, None, Validity()
        if not manifest.emulated:
            measurement, conditions, validity = _measure_undisturbed(
                lambda: measure_latency(
                    {path: _bind_run(session, feeds) for path, session in sessions.items()},
                    samples=settings.latency_samples,
                    limit_s=settings.latency_limit_s,
                    on_progress=lambda done, total: on_progress("latency", done, total),
                    is_decided=lambda measured: _decides_gates(measured, manifest),
                    memory=speed_memory,
                )
            )
            if not validity.problems:
                notes = describe_unpaid(runtime, bundle_dir, manifest, placements, feeds, builds)
                validity = replace(validity, notes=(*validity.notes, *notes))
        stack.pop_all()
    return Payloads(
        sessions=sessions,
        builds=builds,
        placements=placements,
        measurement=measurement,
        batch=batch,
        conditions=conditions,
        validity=validity,
    )
