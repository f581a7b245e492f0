"""Verifies a bundle on the board it lies on: measures it into a record, and judges that."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from ..bundle_files import SIGNATURE_NAME
from ..contents import check_contents
from ..errors import ExitCode, ToolchainError
from ..manifest import Candidate, Manifest, read_manifest
from .conditions import is_throttled
from .end_to_end import measure_end_to_end
from .environment import describe_environment, read_environment
from .facts import Facts, check_compatible, read_facts
from .footprint.figures import MEMORY_PEAK, START, Footprint
from .footprint.measure import Subject, measure_footprint
from .golden import GoldenArrays, evaluate_session, open_golden
from .judge import Judgement, judge_one, judge_record, settles
from .layer_times import LayerTimes, time_layers
from .pairs import check_pairs
from .payloads import OnProgress, Payloads, list_references, measure_payloads
from .record import RECORD_SCHEMA, CandidateRecord, Evaluation, Payload, Record, ReferenceRecord
from .session import find_runtime
from .settings import DEFAULTS, MeasureSettings
from .shapes import describe_difference
from .traits import find_traits

# Where no gate asks for the start, it is shown: of one process, with files that this one has brought into the page cache.
_UNASKED = 1

LATENCY_SCOPE = "session.run, host memory to host memory"


@dataclass(frozen=True)
class Verification:
    """What was measured, the verdict on it, and every latency sample in ms by name."""

    record: Record
    judgement: Judgement
    samples_ms: Dict[str, List[float]]

    def describe(self) -> Dict[str, Any]:
        """Return the JSON object of `agent verify`; the host reads the record, and judges it again."""
        return {"record": asdict(self.record), **describe_judgement(self.judgement)}


def describe_judgement(judgement: Judgement) -> Dict[str, Any]:
    """Return a verdict as JSON types."""
    return {
        "verdict": judgement.verdict,
        "exit_code": int(judgement.exit_code),
        "reasons": list(judgement.reasons),
        "shipped": None if judgement.shipped is None else asdict(judgement.shipped),
        "candidates": [asdict(candidate) for candidate in judgement.candidates],
    }


def check_signature(bundle_dir: Path, manifest: Manifest) -> None:
    """Refuse (exit 10) a bundle that must be signed and is not; the signature itself is checked before a bundle runs."""
    if manifest.signature == "required" and not (bundle_dir / SIGNATURE_NAME).is_file():
        raise ToolchainError(
            ExitCode.SIGNATURE,
            "the bundle is not signed",
            where=SIGNATURE_NAME,
            expected=f"a signature, which the target {manifest.target} requires",
            found="none",
            fix='sign the bundle, or set signature = "optional" in the target',
        )


def check_pinned(manifest: Manifest, pinned: Optional[str]) -> None:
    """Refuse (exit 11) a pinned precision that the bundle does not have."""
    precisions = [candidate.precision for candidate in manifest.candidates]
    if pinned is not None and pinned not in precisions:
        what, fix = "the payload that was proven is none of this bundle's", "deploy the bundle again"
        raise ToolchainError(
            ExitCode.CONTENT, what, where="candidates", expected=pinned, found=", ".join(precisions), fix=fix
        )


def _describe_payload(path: str, manifest: Manifest, payloads: Payloads) -> Payload:
    entry = next(entry for entry in manifest.files if entry.path == path)
    engine = payloads.sessions[path].engine
    return Payload(path=path, size_bytes=entry.size_bytes, sha256=entry.sha256, engine=engine)


def _find_fastest(paths: List[str], payloads: Payloads) -> int:
    """Return the index of the reference that takes the least time; the first where nothing was measured."""
    medians_ms = [payloads.summarize(path).p50_ms for path in paths]
    known = [(median_ms, index) for index, median_ms in enumerate(medians_ms) if median_ms is not None]
    return min(known)[1] if known else 0


def _record_candidate(index: int, reference: str, manifest: Manifest, payloads: Payloads) -> CandidateRecord:
    candidate = manifest.candidates[index]
    successor: Optional[Candidate] = None
    if index + 1 < len(manifest.candidates):
        successor = manifest.candidates[index + 1]
    return CandidateRecord(
        precision=candidate.precision,
        payload=_describe_payload(candidate.path, manifest, payloads),
        evaluation=None,
        placement=payloads.placements[candidate.path],
        latency=payloads.summarize(candidate.path),
        over_reference=payloads.compare(reference, candidate.path),
        over_next=None if successor is None else payloads.compare(successor.path, candidate.path),
    )


def _record_measurement(
    manifest: Manifest, payloads: Payloads, *, bundle_id: str, facts: Facts, pinned: Optional[str]
) -> Record:
    """Return the record before any candidate was run over the evaluation set."""
    paths = list(list_references(manifest))
    fastest = _find_fastest(paths, payloads)
    return Record(
        schema=RECORD_SCHEMA,
        bundle_id=bundle_id,
        device=facts,
        threads=manifest.threads,
        batch=payloads.batch,
        latency_scope=LATENCY_SCOPE,
        references=tuple(
            ReferenceRecord(
                payload=_describe_payload(path, manifest, payloads),
                is_original=path == manifest.original.path,
                latency=payloads.summarize(path),
            )
            for path in paths
        ),
        fastest=fastest,
        candidates=tuple(
            _record_candidate(index, paths[fastest], manifest, payloads) for index in range(len(manifest.candidates))
        ),
        conditions=() if payloads.conditions is None else payloads.conditions,
        throttled=None if payloads.conditions is None else is_throttled(*payloads.conditions),
        validity=payloads.validity,
        pinned=pinned,
        environment=describe_environment(read_environment(manifest.runtime)),
    )


def _evaluate(
    candidate: CandidateRecord, manifest: Manifest, payloads: Payloads, golden: GoldenArrays, on_progress: OnProgress
) -> Evaluation:
    session = payloads.sessions[candidate.payload.path]
    mismatch = describe_difference(manifest.outputs, session.outputs)
    if mismatch is not None:
        return Evaluation(mismatch=mismatch, parity=(), drift=(), metric=None, samples=0)
    step = f"parity {candidate.precision}"
    return evaluate_session(session, golden, manifest, on_progress=lambda done, total: on_progress(step, done, total))


def _count_processes(manifest: Manifest, settings: MeasureSettings) -> int:
    if manifest.emulated:
        return 1
    return settings.start_processes if START in manifest.gates.limits else min(settings.start_processes, _UNASKED)


def _measure_footprint(
    bundle_dir: Path,
    candidate: CandidateRecord,
    manifest: Manifest,
    payloads: Payloads,
    golden: GoldenArrays,
    settings: MeasureSettings,
    on_progress: OnProgress,
) -> Optional[Footprint]:
    # On an emulated board no start is timed, and who asks for memory gets the emulator's and the payload's together.
    if manifest.emulated and MEMORY_PEAK not in manifest.gates.limits:
        return None
    path, runtime = candidate.payload.path, manifest.runtime
    is_built = find_traits(runtime).engine is not None
    return measure_footprint(
        Subject(runtime, bundle_dir / path, manifest.threads, payloads.builds[path] if is_built else None),
        manifest,
        golden,
        batch=payloads.batch,
        is_batch_fixed=golden.find_batch(payloads.sessions[path].inputs) is not None,
        run_ms=candidate.latency.p50_ms,
        processes=_count_processes(manifest, settings),
        on_progress=lambda done, total: on_progress(f"start {candidate.precision}", done, total),
    )


def _evaluate_in_order(
    bundle_dir: Path,
    record: Record,
    manifest: Manifest,
    payloads: Payloads,
    golden: GoldenArrays,
    settings: MeasureSettings,
    on_progress: OnProgress,
) -> Record:
    """Return the record with the evaluation of every candidate up to the one that settles the verdict."""
    candidates = list(record.candidates)
    explained: Optional[int] = None  # what a report describes: the one that is shipped, or else the first
    for index, candidate in enumerate(candidates):
        if record.pinned not in (None, candidate.precision):
            continue
        evaluation = _evaluate(candidate, manifest, payloads, golden, on_progress)
        end_to_end, footprint = None, None
        if evaluation.mismatch is None and not manifest.emulated:
            session = payloads.sessions[candidate.payload.path]
            end_to_end = measure_end_to_end(bundle_dir, manifest, golden, session)
        if evaluation.mismatch is None:
            footprint = _measure_footprint(bundle_dir, candidate, manifest, payloads, golden, settings, on_progress)
        candidates[index] = replace(candidate, evaluation=evaluation, end_to_end=end_to_end, footprint=footprint)
        judged = judge_one(candidates[index], record, manifest)
        if explained is None or judged.status == "shipped":
            explained = index
        if settles(judged):
            break
    if explained is not None and not manifest.emulated:
        times = _time_layers(bundle_dir, candidates[explained], manifest, payloads, golden)
        candidates[explained] = replace(candidates[explained], layer_times=times)
    return replace(record, candidates=tuple(candidates))


def _time_layers(
    bundle_dir: Path, candidate: CandidateRecord, manifest: Manifest, payloads: Payloads, golden: GoldenArrays
) -> LayerTimes:
    path = candidate.payload.path
    return time_layers(
        find_runtime(manifest.runtime),
        bundle_dir / path,
        manifest.threads,
        golden.read_inputs(0, payloads.batch),
        sha256=candidate.payload.sha256,
        placement=payloads.placements[path],
        build=payloads.builds[path],
    )


def _list_samples_ms(manifest: Manifest, payloads: Payloads, record: Record) -> Dict[str, List[float]]:
    if payloads.measurement is None:
        return {}
    paths: Mapping[str, str] = {
        "reference": record.reference.payload.path,
        **{item.precision: item.path for item in manifest.candidates},
    }
    return {name: payloads.measurement.list_samples_ms(path) for name, path in paths.items()}


def verify_bundle(
    bundle_dir: Path,
    *,
    on_progress: OnProgress,
    settings: MeasureSettings = DEFAULTS,
    pinned: Optional[str] = None,
    speed_memory: Optional[Path] = None,
    engines: Optional[Path] = None,
) -> Verification:
    """Verify a bundle on this board; `pinned` is the precision that alone may be proven, None leaves it to the order.

    `speed_memory` is the file that remembers how fast this machine can be (machine_speed.py); None remembers nothing.
    `engines` is the folder that keeps engines; None is that of the board whose release this is.

    A verdict is returned (pass 0, fail 18, 19 or 24, invalid 20). Raises ToolchainError where there is none: exit 2 no
    such folder, 3 runtime missing, 10 not signed, 11 other content, 12 incompatible board, 23 malformed.
    """
    manifest, bundle_id = read_manifest(bundle_dir)
    check_signature(bundle_dir, manifest)
    check_contents(bundle_dir, manifest)
    check_pinned(manifest, pinned)
    facts = read_facts(manifest.runtime)
    check_compatible(manifest.compatible, facts)
    golden = open_golden(bundle_dir, manifest)
    check_pairs(bundle_dir, manifest, golden)
    payloads = measure_payloads(
        bundle_dir,
        manifest,
        golden,
        bundle_id=bundle_id,
        settings=settings,
        speed_memory=speed_memory,
        engines=engines,
        on_progress=on_progress,
    )
    try:
        measured = _record_measurement(manifest, payloads, bundle_id=bundle_id, facts=facts, pinned=pinned)
        record = _evaluate_in_order(bundle_dir, measured, manifest, payloads, golden, settings, on_progress)
    finally:
        payloads.close()
    return Verification(
        record=record,
        judgement=judge_record(record, manifest),
        samples_ms=_list_samples_ms(manifest, payloads, record),
    )
