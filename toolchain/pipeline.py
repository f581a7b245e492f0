"""The flow, stated once: train, compress, export, optimize, lower, bundle, deploy, verify, report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolchain import stages
from toolchain.agent.install.signature import check_data
from toolchain.agent.manifest import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
    Compatible,
    compute_bundle_id,
    parse_manifest,
    read_manifest,
)
from toolchain.agent.measure.facts import check_compatible
from toolchain.agent.measure.placement import Placement
from toolchain.agent.measure.record import CandidateRecord, Record
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.bundle.sign import STATEMENT_NAMESPACE, refuse_unsigned, sign_bytes, sign_manifest
from toolchain.deploy.answer import check_signer, read_answer
from toolchain.deploy.local import measure_folder
from toolchain.deploy.pin import read_pin, write_pin
from toolchain.deploy.transport import Measured, OnProgress, Shipment, Transport
from toolchain.deploy.words import check_recorded
from toolchain.errors import ExitCode, ToolchainError, storage, usage
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.report import remove_reports, write_reports
from toolchain.report.document import build_report
from toolchain.report.error_document import build_error_report
from toolchain.report.shape import Report, SignatureState
from toolchain.report.statement import build_statement, encode_statement, write_statement
from toolchain.run.atomic import write_atomically
from toolchain.run.cache import Cache, Entry, cache_root
from toolchain.run.progress import Progress
from toolchain.run.provenance import describe_run


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of a deploy beside recipe and target."""

    settings: MeasureSettings
    freshness: Freshness
    sign_with: Path | None = None
    """An OpenSSH key; None ships the bundle unsigned."""


def deploy_model(
    recipe: Recipe, target: Target, *, out: Path, transport: Transport, order: Order, progress: Progress
) -> Report:
    """Take a model to the board, prove it there, write the reports to `out` and return the verdict.

    The reports of an earlier run go first: a run that ends without a verdict must not leave one behind. A verdict
    that is not "pass" is a result and is returned. Raises ToolchainError where something stopped the run; the reports
    in `out` say so as well.
    """
    remove_reports(out)
    provenance = describe_run(recipe.folder)
    run: stages.Run | None = None
    try:
        refuse_unsigned(target, order.sign_with)
        _check_demand(recipe, target)
        run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
        bundle, lowered, warnings = _make_bundle(run, target, transport, order.freshness)
        shipment = _make_shipment(bundle.folder / "bundle", target, order)
        with run.timed("deploy"):
            sent_bytes = transport.place_bundle(shipment, show_steps(progress))
            progress.log("sent", size_bytes=sent_bytes)
        with run.timed("verify"):
            measured = transport.measure_bundle(show_steps(progress))
            manifest, bundle_id = read_manifest(shipment.bundle)
            answer = read_answer(measured.document, manifest, bundle_id)
            check_recorded(measured, answer.judgement, bundle_id)
            check_signer(is_signed=shipment.signature is not None, signer=measured.signer)
    except ToolchainError as error:
        records = run.records if run is not None else []
        write_reports(
            out,
            build_error_report(
                error=error, model=recipe.name, target=target.name, stages=records, provenance=provenance
            ),
        )
        raise
    lowerings = _read_lowerings(lowered)
    report = build_report(
        record=_name_layers(answer.record, lowerings),
        judgement=answer.judgement,
        manifest=manifest,
        stages=run.records,
        provenance={**provenance, **run.describe_inputs()},
        signature=_judge_signature(measured, is_signed=shipment.signature is not None),
        signer=measured.signer,
        device=transport.device,
        notes=[*measured.notes, *run.notes, *warnings, *stages.list_outliers(run, lowerings)],
        float_reasons={
            layer["name"]: layer["reason"] for document in lowerings.values() for layer in document["kept_in_float"]
        },
    )
    # The report comes last: where anything before it fails, the run ends with another exit code than the verdict's.
    write_pin(out / "bundle", bundle_id, answer.judgement.shipped)
    _write_statement(out, report, answer.record.environment, order.sign_with)
    write_reports(out, report, measured.samples_ms)
    return report


def _write_statement(out: Path, report: Report, environment: Mapping[str, Any], key: Path | None) -> None:
    """Write the verdict as an in-toto statement too, signed as the bundle is."""
    data = encode_statement(build_statement(report, environment))
    signature = None if key is None else sign_bytes(data, key, namespace=STATEMENT_NAMESPACE)
    write_statement(out, data, signature)


def _check_demand(recipe: Recipe, target: Target) -> None:
    """Refuse (exit 2) a precision that the recipe demands and the target does not offer, before any work."""
    demanded = recipe.gates.precision_required
    if demanded is not None and demanded not in target.precision:
        raise usage(
            f"the recipe demands {demanded}, and the target {target.name} does not list it",
            where=f"{recipe.path}: gates.precision_required",
            expected=f"one of {', '.join(target.precision)}",
            found=demanded,
            fix="remove the demand, or list the precision in the target",
        )


def _make_shipment(bundle: Path, target: Target, order: Order) -> Shipment:
    signature = None
    if order.sign_with is not None:
        signature = sign_manifest((bundle / "manifest.json").read_bytes(), order.sign_with)
    return Shipment(
        bundle=bundle, signature=signature, signature_required=target.signature == "required", settings=order.settings
    )


def _judge_signature(measured: Measured, *, is_signed: bool) -> SignatureState:
    if measured.signer is not None:
        return "verified"
    return "not checked" if is_signed else "unsigned"


def _make_bundle(
    run: stages.Run, target: Target, transport: Transport, freshness: Freshness
) -> tuple[Entry, dict[str, Entry], list[str]]:
    """Return the bundle, the lowered payload of every precision that the target lists, and what weakens the verdict."""
    facts = transport.read_facts(target.runtime)
    # The agent asks again; here it saves the work, and keeps the bundle that lies on the board.
    check_compatible(Compatible(**target.compatible.model_dump()), facts)
    float_weights = stages.train(run)
    imported = stages.export(run, None) if float_weights is None else None
    warnings = stages.evidence(run, float_weights, imported)
    float_export = exported = imported or stages.export(run, float_weights)
    float_model = model = stages.optimize(run, float_export)
    float_golden = golden = stages.golden(run, float_export, float_weights)
    weights = stages.compress(run, float_weights)
    if weights != float_weights:
        exported = stages.export(run, weights)
        model = stages.optimize(run, exported)
        golden = stages.golden(run, exported, weights)
    candidates: dict[str, Entry] = {
        name: stages.lower(run, model, target, name, facts, exported=exported) for name in target.precision
    }
    bundle = stages.bundle(
        run,
        target,
        candidates,
        reference=float_model,
        original=float_export,
        golden=golden,
        float_golden=float_golden,
        freshness=freshness,
    )
    return bundle, candidates, warnings


def show_steps(progress: Progress) -> OnProgress:
    """Return what turns the agent's progress (step, done, total) into steps of ours."""
    shown: dict[str, tuple[Any, int]] = {}

    def show(step: str, done: int, total: int) -> None:
        advance, before = shown.get(step) or (progress.steps(step, total), 0)
        shown[step] = (advance, done)
        if done > before:
            advance(done - before)

    return show


def _read_lowerings(lowered: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    """Return lowering.json of every candidate, by precision."""
    return {
        precision: json.loads((entry.folder / "lowering.json").read_text(encoding="utf-8"))
        for precision, entry in lowered.items()
    }


def _name_layers(record: Record, lowerings: Mapping[str, Mapping[str, Any]]) -> Record:
    """Return the record with the ONNX file's names for layers that the runtime calls otherwise."""

    def rename(candidate: CandidateRecord) -> CandidateRecord:
        names = lowerings.get(candidate.precision, {}).get("layer_names", {})
        layers = tuple(replace(layer, name=names.get(layer.name, layer.name)) for layer in candidate.placement.layers)
        return replace(candidate, placement=Placement(layers=layers))

    return replace(record, candidates=tuple(map(rename, record.candidates)))


def verify_bundle(bundle: Path, *, settings: MeasureSettings, progress: Progress) -> Report:
    """Prove a bundle on this machine again, as it lies there, and return the verdict; nothing is written.

    It is measured by this toolchain's own agent: nothing that lies in a bundle is executed, whoever made it. Where a deploy
    has proven a payload of it, that payload is proven, or none.
    Raises ToolchainError as the agent does: exit 10, 11, 12 or 23 for a bundle that is not what it should be; 10 too where
    the signature beside it is none of its manifest.
    """
    with progress.stage("verify"):
        read_manifest(bundle)  # before whatever knows the folder by another path
        _check_signature(bundle)
        pinned = read_pin(bundle)
        measured = measure_folder(bundle, settings, show_steps(progress), pinned=pinned)
        return report_bundle(bundle, measured, device=None, pinned=pinned)


def _check_signature(bundle: Path) -> None:
    """Refuse (exit 10) a signature that is of another manifest, or none; whose it is, is for boards to judge."""
    path = bundle / SIGNATURE_NAME
    if not path.is_file():
        return
    try:
        check_data((bundle / MANIFEST_NAME).read_bytes(), path)
    except ToolchainError as error:
        if error.code == ExitCode.SIGNATURE:  # else there is no ssh-keygen that can tell: the report says "not checked"
            raise


def report_bundle(bundle: Path, measured: Measured, *, device: str | None, pinned: str | None) -> Report:
    """Return the report of a bundle that was verified again, outside of a deploy."""
    return report_again(
        (bundle / MANIFEST_NAME).read_bytes(),
        measured,
        device=device,
        pinned=pinned,
        is_signed=(bundle / SIGNATURE_NAME).exists(),
        folder=bundle,
    )


def report_again(
    manifest_bytes: bytes,
    measured: Measured,
    *,
    device: str | None,
    pinned: str | None,
    is_signed: bool,
    folder: Path,
) -> Report:
    """Return the report of a bundle that was verified again and lies in a folder: of this machine, or of a board."""
    manifest = parse_manifest(manifest_bytes)
    bundle_id = compute_bundle_id(manifest_bytes)
    answer = read_answer(measured.document, manifest, bundle_id, pinned=pinned)
    check_recorded(measured, answer.judgement, bundle_id)
    check_signer(is_signed=is_signed, signer=measured.signer)
    return build_report(
        record=answer.record,
        judgement=answer.judgement,
        manifest=manifest,
        stages=[],
        provenance=describe_run(folder),
        signature=_judge_signature(measured, is_signed=is_signed),
        signer=measured.signer,
        device=device,
        bundle_path=str(folder),
    )


def lower_file(recipe: Recipe, target: Target, *, out: Path, progress: Progress) -> None:
    """Write model.onnx and lowering.json of one precision into a folder; model.engine too where the host builds it."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    exported = stages.export(run, stages.train(run))
    optimized = stages.optimize(run, exported)
    facts = stages.read_stand_in(target)
    entry = stages.lower(run, optimized, target, target.precision[0], facts, exported=exported)
    try:
        (out / "model.engine").unlink(missing_ok=True)  # of an earlier lowering: it is not of this model.onnx
    except OSError as error:
        raise storage(error) from error
    for path in [*sorted(entry.folder.glob("model.*")), entry.folder / "lowering.json"]:
        write_atomically(out / path.name, path.read_bytes())
