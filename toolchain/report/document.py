"""Builds report.json from what a run left: the record, the judgement, manifest, stages, provenance."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, cast

from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.gates.parity import find_output_sqnr_db_min
from toolchain.agent.measure.judge import JudgedCandidate, Judgement
from toolchain.agent.measure.judge import Shipped as AgentShipped
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.parity import OutputParity
from toolchain.agent.measure.quantities import write_percent
from toolchain.agent.measure.record import CandidateRecord, MetricResult, Payload, Record
from toolchain.report.drift_notes import list_drift_warnings
from toolchain.report.end_to_end import read_end_to_end
from toolchain.report.error_document import record_stage, replace_nonfinite
from toolchain.report.explanation import NO_NOTES, GraphNotes, build_explanation
from toolchain.report.footprint import read_footprint
from toolchain.report.gate_rows import list_gates
from toolchain.report.precision_shares import read_placement
from toolchain.report.shape import (
    NO_REASON,
    SCHEMA,
    Artifact,
    Candidate,
    CandidateStatus,
    Device,
    Drift,
    Engine,
    Latency,
    LatencyNumbers,
    Metric,
    Original,
    Parity,
    Placement,
    Reference,
    Report,
    Shipped,
    SignatureState,
    Verdict,
)
from toolchain.run.stage_record import StageRecord

_IN_ORDER = "first in the target's order"
_FIRST = f"the {_IN_ORDER} that passed"


def describe_signature(*, is_signed: bool, signer: str | None) -> SignatureState:
    """Return what is known of a bundle's signature; `signer` is whom the board found behind it."""
    if signer is not None:
        return "verified"
    return "not checked" if is_signed else "unsigned"


def build_report(
    *,
    record: Record,
    judgement: Judgement,
    manifest: Manifest,
    stages: Sequence[StageRecord],
    provenance: Mapping[str, Any],
    signature: SignatureState,
    signer: str | None = None,
    device: str | None = None,
    notes: Sequence[str] = (),
    float_reasons: Mapping[str, str] | None = None,
    graphs: Mapping[tuple[str, str], GraphNotes] = types.MappingProxyType({}),
    bundle_path: str = "bundle",
) -> Report:
    """Return report.json for what was measured and judged.

    When nothing was shipped, the fields describe the first candidate whose failure is the exit code.

    Args:
        record: what was measured on the board.
        judgement: the verdict on it.
        manifest: of the bundle.
        stages: the stages of the run, in order.
        provenance: versions, seeds, data hashes, git commit; numbers that JSON cannot hold become null.
        signature: what is known of the bundle's signature.
        signer: whom the board found behind it.
        device: the unit's name; None is this machine.
        notes: what else is to be known, as warnings.
        float_reasons: why a layer was kept in float, by the name of the layer.
        graphs: what the host knows of the graph of each precision, as it was lowered for each runtime.
        bundle_path: the bundle's folder, relative to that of report.json.
    """
    index = _find_described(judgement)
    candidate, judged = record.candidates[index], judgement.candidates[index]
    evaluation = candidate.evaluation
    latency = _read_latency(record, candidate)
    facts = record.devices[candidate.runtime]
    placement = read_placement(candidate.placement, candidate.precision, float_reasons or {})
    return Report(
        schema=SCHEMA,
        verdict=cast("Verdict", judgement.verdict),
        reasons=list(judgement.reasons),
        exit_code=int(judgement.exit_code),
        model=manifest.model,
        target=manifest.target,
        device=cast(
            Device,
            {
                **_list_fields(facts),
                "threads": candidate.threads,
                "pins_threads": candidate.pins_threads,
                "name": device,
            },
        ),
        precision=candidate.precision,
        bundle_id=record.bundle_id,
        signature=signature,
        signer=signer,
        emulated=manifest.emulated,
        warnings=[
            *notes,
            *_list_warnings(record, judgement, candidate, signature, placement, manifest),
        ],
        artifact=_read_artifact(candidate.payload, bundle_path),
        shipped=_read_shipped(judgement, bundle_path),
        reference=Reference(
            **_read_artifact(record.reference.payload, bundle_path),
            is_original=record.reference.is_original,
            runtime=record.reference.runtime,
            threads=record.reference.threads,
            pins_threads=record.reference.pins_threads,
        ),
        original=Original(
            path=None if manifest.original.path is None else f"{bundle_path}/{manifest.original.path}",
            size_bytes=manifest.original.size_bytes,
            sha256=manifest.original.sha256,
        ),
        metric=None if evaluation is None or evaluation.metric is None else _read_metric(evaluation.metric, manifest),
        parity=[] if evaluation is None else _read_parity(evaluation.parity, judged, manifest),
        drift=[] if evaluation is None else [cast(Drift, asdict(output)) for output in evaluation.drift],
        latency=latency,
        end_to_end=read_end_to_end(candidate.end_to_end),
        footprint=read_footprint(
            candidate.footprint, has_device=facts.accelerator is not None, is_timed=not manifest.emulated
        ),
        input=None if manifest.input is None else asdict(manifest.input),
        classes=list(manifest.output.classes),
        placement=placement,
        gates=list_gates(
            judgement, judged.rows, signature=signature, signer=signer, required=manifest.signature == "required"
        ),
        candidates=[_summarize_candidate(item, number, judgement) for number, item in enumerate(record.candidates)],
        stages=[record_stage(stage) for stage in stages],
        provenance=replace_nonfinite(provenance),
        expires_when={"date": manifest.expires, **find_environment(record, judgement)},
        explanation=build_explanation(
            candidate, manifest.output.classes, graphs.get((candidate.precision, candidate.runtime), NO_NOTES)
        ),
        error=None,
    )


def find_environment(record: Record, judgement: Judgement) -> Mapping[str, object]:
    """Return what the verdict rests on: that of the runtime of the candidate that the report describes."""
    return record.environments.get(record.candidates[_find_described(judgement)].runtime, {})


def _find_described(judgement: Judgement) -> int:
    """Return the index of the candidate that was shipped, or else of the first whose failure is the exit code."""
    for index, candidate in enumerate(judgement.candidates):
        if candidate.status == "shipped":
            return index
    for index, candidate in enumerate(judgement.candidates):
        if candidate.failures and candidate.failures[0].code == judgement.exit_code:
            return index
    return 0


def _list_fields(record: Any) -> dict[str, Any]:
    return {field.name: _copy(getattr(record, field.name)) for field in fields(record)}


def _copy(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read_artifact(payload: Payload | AgentShipped, bundle_path: str) -> Artifact:
    return Artifact(path=f"{bundle_path}/{payload.path}", size_bytes=payload.size_bytes, sha256=payload.sha256)


def _read_shipped(judgement: Judgement, bundle_path: str) -> Shipped | None:
    if judgement.shipped is None:
        return None
    shipped = judgement.shipped
    return Shipped(
        **_read_artifact(shipped, bundle_path),
        precision=shipped.precision,
        runtime=shipped.runtime,
        threads=shipped.threads,
        pins_threads=shipped.pins_threads,
    )


def _read_parity(outputs: Sequence[OutputParity], judged: JudgedCandidate, manifest: Manifest) -> list[Parity]:
    passed = {row.name: row.status == "passed" for row in judged.rows}
    limits = find_output_sqnr_db_min(manifest, judged.precision)
    return [
        cast(
            Parity,
            {
                **_list_fields(output),
                "sqnr_db_min": limits.get(output.output),
                "passed": passed.get(f"parity {output.output}", False),
            },
        )
        for output in outputs
    ]


def _read_metric(result: MetricResult, manifest: Manifest) -> Metric:
    scale = find_metric(result.name).SCALE
    return cast(
        Metric,
        {**_list_fields(result), "truth": manifest.metric.truth, "unit": scale.unit, "direction": scale.direction},
    )


def _read_latency(record: Record, candidate: CandidateRecord) -> Latency:
    speedup = candidate.over_reference
    return Latency(
        scope=record.latency_scope,
        batch=record.batch,
        sample=record.latency_sample,
        threads=candidate.threads,
        reference=cast(LatencyNumbers, _list_fields(record.reference.latency)),
        deployed=cast(LatencyNumbers, _list_fields(candidate.latency)),
        speedup=speedup.ratio,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
    )


def _summarize_candidate(item: CandidateRecord, number: int, judgement: Judgement) -> Candidate:
    judged = judgement.candidates[number]
    evaluation, engine = item.evaluation, item.payload.engine
    metric = None if evaluation is None else evaluation.metric
    return Candidate(
        name=judged.name,
        precision=item.precision,
        runtime=item.runtime,
        threads=item.threads,
        pins_threads=item.pins_threads,
        path=item.payload.path,
        size_bytes=item.payload.size_bytes,
        status=cast("CandidateStatus", judged.status),
        reasons=[str(row.reason) for row in judged.failures] or [_explain_status(number, judgement)],
        metric_drop=None if metric is None else metric.drop,
        sqnr_db_least=min((output.sqnr_db for output in evaluation.parity), default=None) if evaluation else None,
        p90_ms=item.latency.p90_ms,
        speedup=item.over_reference.ratio,
        engine=None if engine is None else cast(Engine, _list_fields(engine)),
    )


def _explain_status(number: int, judgement: Judgement) -> str:
    judged = judgement.candidates[number]
    passed = next((index for index, item in enumerate(judgement.candidates) if item.status == "shipped"), None)
    if passed is None:
        return "another payload was to be proven, or a measurement before it was not valid"
    shipped = judgement.candidates[passed]
    slower = [item.name for item in judgement.candidates[:passed] if _waits_for(item, shipped)]
    if number == passed:
        return f"surely faster than {' and '.join(slower)}, and passed" if slower else _FIRST
    if judged.name in slower:
        return f"{shipped.name} is surely faster, and passed"
    if number < passed:
        return "it cannot be shipped: a later precision is as fast, or the recipe demands another"
    return f"{shipped.name} comes {'before it' if slower else _IN_ORDER}, and passed"


def _waits_for(judged: JudgedCandidate, shipped: JudgedCandidate) -> bool:
    return judged.status == "not needed" and judged.precision == shipped.precision


def _list_warnings(
    record: Record,
    judgement: Judgement,
    candidate: CandidateRecord,
    signature: SignatureState,
    placement: Placement,
    manifest: Manifest,
) -> list[str]:
    warnings = []
    if signature != "verified":
        warnings.append(f"the bundle is {'not signed' if signature == 'unsigned' else 'of unchecked signature'}")
    if manifest.emulated:
        warnings.append("the board is emulated: its latency is no measurement and gates nothing")
    for kind, numbers in (("float reference", record.reference.latency), ("artifact", candidate.latency)):
        if numbers.samples and not numbers.steady:
            warnings.append(f"the latency of the {kind} did not become steady")
    warnings += record.validity.notes
    warnings += [
        f"{item.runtime} does not open {item.path}, so that no speed is held against float by it: {item.reason}"
        for item in record.unopened
    ]
    if judgement.shipped is not None:
        warnings += [
            f"{item.name} was not shipped: {'; '.join(str(row.reason) for row in item.failures)}"
            for item in judgement.candidates
            if item.status == "rejected"
        ]
        shipped = next(item for item in judgement.candidates if item.status == "shipped")
        warnings += [str(row.reason) for row in shipped.rows if row.status == "undecided"]
        warnings += [] if candidate.evaluation is None else list_drift_warnings(candidate.evaluation, manifest.metric)
        warnings += _list_fallbacks_of_dla(candidate)
    silent = [item for item in placement["fallbacks"] if item["reason"] is None]
    share = sum(item["share_macs"] or 0.0 for item in silent)
    if silent:
        names = ", ".join(item["name"] for item in silent)
        warnings.append(f"{write_percent(share, 1)} of the MACs left the precision, {NO_REASON}: {names}")
    return warnings


def _list_fallbacks_of_dla(candidate: CandidateRecord) -> list[str]:
    layers = () if candidate.payload.engine is None else candidate.payload.engine.gpu_fallback
    return [f"layers that the DLA does not take run on the GPU: {', '.join(layers)}"] if layers else []
