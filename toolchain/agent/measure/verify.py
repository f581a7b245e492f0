"""Verifies a bundle on the board it lies on: measures it into a record, and judges that."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from ..bundle_files import SIGNATURE_NAME
from ..candidates import Opening
from ..contents import check_contents
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest, read_manifest
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
from .payloads import OnProgress, Payloads, measure_payloads
from .record import RECORD_SCHEMA, CandidateRecord, Evaluation, Payload, Record, ReferenceRecord
from .session import find_runtime
from .settings import DEFAULTS, MeasureSettings
from .shapes import describe_difference
from .traits import find_traits
from .turns import find_turn

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
    """Refuse (exit 11) a pinned candidate that the bundle does not have."""
    names = manifest.names
    if pinned is not None and pinned not in names:
        what, fix = "the payload that was proven is none of this bundle's", "deploy the bundle again"
        raise ToolchainError(
            ExitCode.CONTENT, what, where="candidates", expected=pinned, found=", ".join(names), fix=fix
        )


def _describe_payload(opening: Opening, manifest: Manifest, payloads: Payloads) -> Payload:
    entry = next(entry for entry in manifest.files if entry.path == opening.path)
    engine = payloads.sessions[opening].engine
    return Payload(path=entry.path, size_bytes=entry.size_bytes, sha256=entry.sha256, engine=engine)


def _find_fastest(openings: Sequence[Opening], payloads: Payloads) -> int:
    """Return the index of the reference that takes the least time; the first where nothing was measured."""
    medians_ms = [payloads.summarize(opening).p50_ms for opening in openings]
    known = [(median_ms, index) for index, median_ms in enumerate(medians_ms) if median_ms is not None]
    return min(known)[1] if known else 0


def _record_candidate(index: int, reference: Opening, manifest: Manifest, payloads: Payloads) -> CandidateRecord:
    candidate, names = manifest.candidates[index], manifest.names
    opening = candidate.opening
    return CandidateRecord(
        precision=candidate.precision,
        runtime=candidate.runtime,
        threads=candidate.threads,
        pins_threads=candidate.pins_threads,
        payload=_describe_payload(opening, manifest, payloads),
        evaluation=None,
        placement=payloads.placements[opening],
        latency=payloads.summarize(opening),
        over_reference=payloads.compare(reference, opening),
        over_later={
            names[later]: payloads.compare(manifest.candidates[later].opening, opening)
            for later in range(index + 1, len(names))
        },
    )


def _record_measurement(
    manifest: Manifest, payloads: Payloads, *, bundle_id: str, devices: Mapping[str, Facts], pinned: Optional[str]
) -> Record:
    """Return the record before any candidate was run over the evaluation set."""
    references = payloads.references
    fastest = _find_fastest(references, payloads)
    return Record(
        schema=RECORD_SCHEMA,
        bundle_id=bundle_id,
        devices=devices,
        batch=payloads.batch,
        latency_sample=payloads.sample,
        latency_scope=LATENCY_SCOPE,
        references=tuple(
            ReferenceRecord(
                payload=_describe_payload(opening, manifest, payloads),
                runtime=opening.runtime,
                threads=opening.threads,
                pins_threads=opening.pins_threads,
                is_original=opening.path == manifest.original.path,
                latency=payloads.summarize(opening),
            )
            for opening in references
        ),
        unopened=payloads.unopened,
        fastest=fastest,
        candidates=tuple(
            _record_candidate(index, references[fastest], manifest, payloads)
            for index in range(len(manifest.candidates))
        ),
        conditions=() if payloads.conditions is None else payloads.conditions,
        throttled=None if payloads.conditions is None else is_throttled(*payloads.conditions),
        validity=payloads.validity,
        pinned=pinned,
        environments={runtime: describe_environment(read_environment(runtime)) for runtime in manifest.runtimes},
    )


def _evaluate(
    candidate: CandidateRecord,
    name: str,
    manifest: Manifest,
    payloads: Payloads,
    golden: GoldenArrays,
    on_progress: OnProgress,
) -> Evaluation:
    session = payloads.sessions[candidate.opening]
    mismatch = describe_difference(manifest.outputs, session.outputs)
    if mismatch is not None:
        return Evaluation(mismatch=mismatch, parity=(), drift=(), metric=None, samples=0)
    step = f"parity {name}"
    return evaluate_session(session, golden, manifest, on_progress=lambda done, total: on_progress(step, done, total))


def _count_processes(manifest: Manifest, settings: MeasureSettings) -> int:
    if manifest.emulated:
        return 1
    return settings.start_processes if START in manifest.gates.limits else min(settings.start_processes, _UNASKED)


def _measure_footprint(
    bundle_dir: Path,
    candidate: CandidateRecord,
    name: str,
    manifest: Manifest,
    payloads: Payloads,
    golden: GoldenArrays,
    settings: MeasureSettings,
    on_progress: OnProgress,
) -> Optional[Footprint]:
    # On an emulated board no start is timed, and who asks for memory gets the emulator's and the payload's together.
    if manifest.emulated and MEMORY_PEAK not in manifest.gates.limits:
        return None
    opening = candidate.opening
    build = None if find_traits(opening.runtime).engine is None else payloads.builds[opening]
    return measure_footprint(
        Subject(opening.runtime, bundle_dir / opening.path, opening.threads, build, pins_threads=opening.pins_threads),
        manifest,
        golden,
        batch=payloads.batch,
        is_batch_fixed=golden.find_batch(payloads.sessions[opening].inputs) is not None,
        run_ms=candidate.latency.p50_ms,
        processes=_count_processes(manifest, settings),
        on_progress=lambda done, total: on_progress(f"start {name}", done, total),
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
    """Return the record with the evaluation of every candidate whose turn came, up to the one that settles the verdict."""
    candidates, names = list(record.candidates), record.names
    judged: Set[int] = set()
    explained: Optional[int] = None  # what a report describes: the one that settles the verdict, or else the first
    turn = find_turn(record, manifest, judged)
    while turn is not None:
        candidate, name = candidates[turn], names[turn]
        evaluation = _evaluate(candidate, name, manifest, payloads, golden, on_progress)
        end_to_end, footprint = None, None
        if evaluation.mismatch is None and not manifest.emulated:
            session = payloads.sessions[candidate.opening]
            end_to_end = measure_end_to_end(bundle_dir, manifest, golden, session, sample=payloads.sample)
        if evaluation.mismatch is None:
            footprint = _measure_footprint(
                bundle_dir, candidate, name, manifest, payloads, golden, settings, on_progress
            )
        candidates[turn] = replace(candidate, evaluation=evaluation, end_to_end=end_to_end, footprint=footprint)
        judged.add(turn)
        is_settled = settles(judge_one(candidates[turn], record, manifest))
        explained = turn if is_settled else min(judged)
        if is_settled:
            break
        turn = find_turn(record, manifest, judged)
    if explained is not None and not manifest.emulated:
        times = _time_layers(bundle_dir, candidates[explained], payloads, golden)
        candidates[explained] = replace(candidates[explained], layer_times=times)
    return replace(record, candidates=tuple(candidates))


def _time_layers(bundle_dir: Path, candidate: CandidateRecord, payloads: Payloads, golden: GoldenArrays) -> LayerTimes:
    opening = candidate.opening
    return time_layers(
        find_runtime(opening.runtime),
        bundle_dir / opening.path,
        opening.threads,
        golden.read_inputs(payloads.sample, payloads.sample + payloads.batch),
        sha256=candidate.payload.sha256,
        placement=payloads.placements[opening],
        build=payloads.builds[opening],
    )


def _list_samples_ms(manifest: Manifest, payloads: Payloads, record: Record) -> Dict[str, List[float]]:
    if payloads.measurement is None:
        return {}
    own = {name: manifest.candidates[index].opening for index, name in enumerate(manifest.names)}
    named = {"reference": record.reference.opening, **own}
    return {name: payloads.list_samples_ms(opening) for name, opening in named.items()}


def verify_bundle(
    bundle_dir: Path,
    *,
    on_progress: OnProgress,
    settings: MeasureSettings = DEFAULTS,
    pinned: Optional[str] = None,
    speed_memory: Optional[Path] = None,
    engines: Optional[Path] = None,
) -> Verification:
    """Verify a bundle on this board; `pinned` is the candidate that alone may be proven, by its name, None leaves it to the order.

    `speed_memory` is the file that remembers how fast this machine can be (machine_speed.py); None remembers nothing.
    `engines` is the folder that keeps engines; None is that of the board whose release this is.

    A verdict is returned (pass 0, fail 18, 19 or 24, invalid 20). Raises ToolchainError where there is none: exit 2 no
    such folder, 3 runtime missing, 10 not signed, 11 other content, 12 incompatible board, 23 malformed.
    """
    manifest, bundle_id = read_manifest(bundle_dir)
    check_signature(bundle_dir, manifest)
    check_contents(bundle_dir, manifest)
    check_pinned(manifest, pinned)
    devices = {runtime: read_facts(runtime) for runtime in manifest.runtimes}
    for facts in devices.values():
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
        measured = _record_measurement(manifest, payloads, bundle_id=bundle_id, devices=devices, pinned=pinned)
        record = _evaluate_in_order(bundle_dir, measured, manifest, payloads, golden, settings, on_progress)
    finally:
        payloads.close()
    return Verification(
        record=record,
        judgement=judge_record(record, manifest),
        samples_ms=_list_samples_ms(manifest, payloads, record),
    )
