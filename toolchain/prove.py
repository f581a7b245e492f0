"""The flow's last steps: a bundle goes to the board, is measured there, and the verdict is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.agent.manifest import Manifest, compute_bundle_id, parse_manifest, read_manifest_bytes
from toolchain.agent.measure.facts import check_compatible
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.bundle.authenticate import authenticate_bundle
from toolchain.bundle.made_elsewhere import check_target, explain_unsigned, requires_signature
from toolchain.bundle.sign import STATEMENT_NAMESPACE, sign_bytes, sign_manifest
from toolchain.deploy.answer import Answer, judge_answer
from toolchain.deploy.local import refuse_members_inside
from toolchain.deploy.pin import write_pin
from toolchain.deploy.transport import Measured, Shipment, Transport
from toolchain.errors import ToolchainError
from toolchain.project.target import Target
from toolchain.report import remove_reports, write_reports
from toolchain.report.document import build_report, describe_signature, find_environment
from toolchain.report.error_document import build_error_report
from toolchain.report.shape import Report
from toolchain.report.statement import build_statement, encode_statement, write_statement
from toolchain.run.progress import Progress, show_steps
from toolchain.run.provenance import describe_run
from toolchain.run.stage_record import StageRecord, record_stage


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was measured of a bundle where it was brought to, and the verdict on it."""

    manifest: Manifest
    bundle_id: str
    measured: Measured
    answer: Answer


def deploy_bundle(
    bundle: Path,
    target: Target | None,
    *,
    out: Path,
    transport: Transport,
    settings: MeasureSettings,
    sign_with: Path | None,
    progress: Progress,
) -> Report:
    """Bring a bundle that was made elsewhere to the board, prove it there, and write and return the verdict, as deploy_model.

    target: the device's; None is this machine, which is no target's. sign_with: a key that vouches for the bundle in place of
    whoever signed it.

    Raises ToolchainError as deploy_model does: exit 2 where the bundle is for another target, 10 where its signature is of
    another manifest, or nobody's that the board knows where it has to be.
    """
    remove_reports(out)
    provenance = describe_run(None)
    records: list[StageRecord] = []
    name, target_name = bundle.name, "unknown"
    try:
        manifest_bytes = read_manifest_bytes(bundle)
        data = authenticate_bundle(bundle, manifest_bytes, None).data
        manifest = parse_manifest(manifest_bytes)
        name, target_name = manifest.model, manifest.target
        refuse_members_inside(bundle, manifest)  # of the copy that is measured they would lie outside
        if target is not None:
            check_target(manifest, target, device=transport.device, where=str(bundle))
        if sign_with is not None:
            data = sign_manifest(manifest_bytes, sign_with)
        is_required = requires_signature(manifest, target, is_vouched=sign_with is not None)
        if is_required and data is None:
            raise explain_unsigned(manifest, where=str(bundle))
        shipment = Shipment(bundle=bundle, signature=data, signature_required=is_required, settings=settings)
        if (
            target is not None
        ):  # this machine's agent asks itself, and nothing of the bundle chooses what is imported here
            for runtime in manifest.runtimes:
                check_compatible(manifest.compatible, transport.read_facts(runtime))
        proof = prove_bundle(shipment, manifest_bytes, transport, records, progress)
    except ToolchainError as error:
        write_reports(
            out,
            build_error_report(error=error, model=name, target=target_name, stages=records, provenance=provenance),
        )
        raise
    return conclude(
        proof,
        shipment,
        out=out,
        record=proof.answer.record,
        sign_with=sign_with,
        stages=records,
        provenance={**manifest.provenance, **provenance},  # what it was made from, as whoever made it says
        device=transport.device,
        notes=[],
        float_reasons={},
    )


def prove_bundle(
    shipment: Shipment,
    manifest_bytes: bytes,
    transport: Transport,
    records: list[StageRecord],
    progress: Progress,
) -> Proof:
    """Bring a bundle to the board and have it measured there."""
    with record_stage("deploy", records, progress):
        sent_bytes = transport.place_bundle(shipment, show_steps(progress))
        progress.log("sent", size_bytes=sent_bytes)
    with record_stage("verify", records, progress):
        measured = transport.measure_bundle(show_steps(progress))
        manifest, bundle_id = parse_manifest(manifest_bytes), compute_bundle_id(manifest_bytes)
        is_signed = shipment.signature is not None
        answer = judge_answer(measured, manifest, bundle_id, is_signed=is_signed, settings=shipment.settings)
    return Proof(manifest=manifest, bundle_id=bundle_id, measured=measured, answer=answer)


def conclude(
    proof: Proof, shipment: Shipment, *, out: Path, sign_with: Path | None, notes: Sequence[str], **facts: Any
) -> Report:
    """Write what was proven, and the reports; facts are those of build_report."""
    measured, answer = proof.measured, proof.answer
    report = build_report(
        judgement=answer.judgement,
        manifest=proof.manifest,
        signature=describe_signature(is_signed=shipment.signature is not None, signer=measured.signer),
        signer=measured.signer,
        notes=[*measured.notes, *notes],
        **facts,
    )
    # The report comes last: where anything before it fails, the run ends with another exit code than the verdict's.
    write_pin(out / "bundle", proof.bundle_id, answer.judgement.shipped)
    _write_statement(out, report, find_environment(answer.record, answer.judgement), sign_with)
    write_reports(out, report, measured.samples_ms, evaluation=(shipment.bundle, proof.manifest))
    return report


def _write_statement(out: Path, report: Report, environment: Mapping[str, Any], key: Path | None) -> None:
    """Write the verdict as an in-toto statement too, signed as the bundle is."""
    data = encode_statement(build_statement(report, environment))
    signature = None if key is None else sign_bytes(data, key, namespace=STATEMENT_NAMESPACE)
    write_statement(out, data, signature)
