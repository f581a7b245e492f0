"""Verifies a bundle on the board it lies on: parity, task metric, placement and latency, and the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .conditions import is_throttled
from .contents import check_contents
from .environment import read_environment
from .errors import ExitCode, ToolchainError
from .facts import check_compatible, read_facts
from .gates import Evidence, Failure, MetricResult, find_sqnr_db_min, judge_candidate, passes_parity
from .golden import GoldenArrays, evaluate_session, open_golden
from .latency import DEFAULT_LIMIT_S, DEFAULT_SAMPLES
from .manifest import SIGNATURE_NAME, Candidate, Manifest, read_manifest
from .parity import OutputParity
from .payloads import OnProgress, Payloads, describe_difference, measure_payloads
from .placement import Placement
from .session import Session

MEASUREMENTS_SCHEMA = 1
LATENCY_SCOPE = "session.run, host memory to host memory"


@dataclass(frozen=True)
class Verification:
    """What `verify` found: the content of measurements.json, and every latency sample in ms by name."""

    exit_code: ExitCode
    measurements: Dict[str, Any]
    samples_ms: Dict[str, List[float]]


@dataclass(frozen=True)
class _Outcome:
    """A candidate, what was measured of it, and why it is not shipped; evidence is None where it was not needed."""

    status: str
    failures: Sequence[Failure]
    evidence: Optional[Evidence]


def check_signature(bundle_dir: Path, manifest: Manifest) -> None:
    """Refuse (exit 10) a bundle that must be signed and is not; the signature itself is checked before a bundle runs."""
    if manifest.signature == "required" and not (bundle_dir / SIGNATURE_NAME).is_file():
        raise ToolchainError(
            ExitCode.SIGNATURE,
            "the bundle is not signed",
            SIGNATURE_NAME,
            f"a signature, which the target {manifest.target} requires",
            "none",
            'sign the bundle, or set signature = "optional" in the target',
        )


def _evaluate_candidate(
    index: int, manifest: Manifest, payloads: Payloads, golden: GoldenArrays, on_progress: OnProgress
) -> Evidence:
    candidate = manifest.candidates[index]
    successor = manifest.candidates[index + 1] if index + 1 < len(manifest.candidates) else None
    session = payloads.sessions[candidate.path]
    mismatch = describe_difference(manifest.outputs, session.outputs)
    parity: Tuple[OutputParity, ...] = ()
    metric: Optional[MetricResult] = None
    if mismatch is None:
        step = f"parity {candidate.precision}"
        try:
            parity, metric = evaluate_session(
                session, golden, manifest, on_progress=lambda done, total: on_progress(step, done, total)
            )
        except ToolchainError as error:
            if error.code != ExitCode.PARITY:
                raise
            mismatch = f"{error.what}: {error.where}, expected {error.expected}, found {error.found}"
    return Evidence(
        precision=candidate.precision,
        next_precision=None if successor is None else successor.precision,
        mismatch=mismatch,
        parity=parity,
        metric=metric,
        placement=payloads.placements[candidate.path],
        latency=payloads.summarize(candidate.path),
        over_reference=payloads.compare(manifest.reference, candidate.path),
        over_next=None if successor is None else payloads.compare(successor.path, candidate.path),
        throttled=None if payloads.conditions is None else is_throttled(*payloads.conditions),
    )


def _judge_candidates(
    manifest: Manifest, payloads: Payloads, golden: GoldenArrays, on_progress: OnProgress
) -> List[_Outcome]:
    # In order of preference, up to the first that is shipped, or whose measurement is worthless: what comes after
    # would be shipped because of noise.
    outcomes: List[_Outcome] = []
    is_settled = False
    for index in range(len(manifest.candidates)):
        if is_settled:
            outcomes.append(_Outcome(status="not needed", failures=[], evidence=None))
            continue
        evidence = _evaluate_candidate(index, manifest, payloads, golden, on_progress)
        failures = judge_candidate(evidence, manifest.gates, emulated=manifest.emulated)
        outcomes.append(_Outcome("rejected" if failures else "shipped", failures, evidence))
        is_settled = not failures or failures[0][0] == ExitCode.INVALID
    return outcomes


def _decide(outcomes: Sequence[_Outcome]) -> ExitCode:
    # The first reason of the first candidate; a worthless measurement only where nothing failed.
    if any(outcome.status == "shipped" for outcome in outcomes):
        return ExitCode.PROVEN
    codes = [outcome.failures[0][0] for outcome in outcomes if outcome.failures]
    return next((code for code in codes if code != ExitCode.INVALID), ExitCode.INVALID)


def _describe_placement(placement: Placement) -> Dict[str, Any]:
    return {
        "precision_share_macs": placement.precision_share_macs,
        "macs": placement.macs,
        "layers": [asdict(layer) for layer in placement.layers],
    }


def _describe_engine(session: Session) -> Optional[Dict[str, Any]]:
    return None if session.engine is None else asdict(session.engine)


def _describe_conditions(payloads: Payloads) -> Optional[Dict[str, Any]]:
    if payloads.conditions is None:
        return None
    before, after = payloads.conditions
    return {"before": asdict(before), "after": asdict(after), "throttled": is_throttled(before, after)}


def _describe_candidate(index: int, outcome: _Outcome, manifest: Manifest, payloads: Payloads) -> Dict[str, Any]:
    candidate = manifest.candidates[index]
    entry = next(entry for entry in manifest.files if entry.path == candidate.path)
    evidence = outcome.evidence
    sqnr_db_min = find_sqnr_db_min(manifest.gates, candidate.precision)
    parity = [] if evidence is None else evidence.parity
    return {
        "precision": candidate.precision,
        "path": candidate.path,
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "engine": _describe_engine(payloads.sessions[candidate.path]),
        "status": outcome.status,
        "reasons": [reason for _, reason in outcome.failures],
        "metric": None if evidence is None or evidence.metric is None else asdict(evidence.metric),
        "parity": [
            {**asdict(output), "sqnr_db_min": sqnr_db_min, "passed": passes_parity(output, sqnr_db_min)}
            for output in parity
        ],
        "latency": asdict(payloads.summarize(candidate.path)),
        "speedup": asdict(payloads.compare(manifest.reference, candidate.path)),
        "placement": _describe_placement(payloads.placements[candidate.path]),
    }


def _describe_shipped(candidate: Candidate, manifest: Manifest) -> Dict[str, Any]:
    entry = next(entry for entry in manifest.files if entry.path == candidate.path)
    return {"precision": candidate.precision, **asdict(entry)}


def _list_samples_ms(manifest: Manifest, payloads: Payloads) -> Dict[str, List[float]]:
    if payloads.measurement is None:
        return {}
    paths = {"reference": manifest.reference, **{item.precision: item.path for item in manifest.candidates}}
    return {name: payloads.measurement.list_samples_ms(path) for name, path in paths.items()}


def verify_bundle(
    bundle_dir: Path,
    *,
    on_progress: OnProgress,
    latency_samples: int = DEFAULT_SAMPLES,
    latency_limit_s: float = DEFAULT_LIMIT_S,
) -> Verification:
    """Verify a bundle on this board and return the measurements with their verdict.

    A verdict is returned (pass 0, fail 18, 19 or 24, invalid 20). Raises ToolchainError where there is none: exit 2 no
    such folder, 3 runtime missing, 10 not signed, 11 other content, 12 incompatible board, 23 malformed.
    """
    manifest, bundle_id = read_manifest(bundle_dir)
    check_signature(bundle_dir, manifest)
    check_contents(bundle_dir, manifest)
    facts = read_facts(manifest.runtime)
    check_compatible(manifest.compatible, facts)
    golden = open_golden(bundle_dir, manifest)
    payloads = measure_payloads(
        bundle_dir,
        manifest,
        golden,
        bundle_id=bundle_id,
        latency_samples=latency_samples,
        latency_limit_s=latency_limit_s,
        on_progress=on_progress,
    )
    try:
        outcomes = _judge_candidates(manifest, payloads, golden, on_progress)
    finally:
        payloads.close()
    exit_code = _decide(outcomes)
    shipped = [candidate for index, candidate in enumerate(manifest.candidates) if outcomes[index].status == "shipped"]
    reasons = [
        f"{candidate.precision}: {reason}"
        for index, candidate in enumerate(manifest.candidates)
        for _, reason in outcomes[index].failures
    ]
    measurements = {
        "schema": MEASUREMENTS_SCHEMA,
        "bundle_id": bundle_id,
        "device": {**asdict(facts), "threads": manifest.threads},
        "verdict": {ExitCode.PROVEN: "pass", ExitCode.INVALID: "invalid"}.get(exit_code, "fail"),
        "exit_code": int(exit_code),
        "reasons": reasons,
        "shipped": _describe_shipped(shipped[0], manifest) if shipped else None,
        "environment": asdict(read_environment(manifest.runtime)),
        "candidates": [
            _describe_candidate(index, outcome, manifest, payloads) for index, outcome in enumerate(outcomes)
        ],
        "reference": {
            "path": manifest.reference,
            "engine": _describe_engine(payloads.sessions[manifest.reference]),
            "latency": asdict(payloads.summarize(manifest.reference)),
        },
        "latency_scope": LATENCY_SCOPE,
        "conditions": _describe_conditions(payloads),
        "batch": payloads.batch,
        "threads": manifest.threads,
    }
    return Verification(exit_code=exit_code, measurements=measurements, samples_ms=_list_samples_ms(manifest, payloads))
