"""The flow, stated once: train, compress, export, optimize, lower, bundle, deploy, verify, report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolchain import stages
from toolchain.agent.manifest import read_manifest_bytes
from toolchain.agent.measure.facts import Facts, check_compatible
from toolchain.agent.measure.placement import Placement
from toolchain.agent.measure.record import CandidateRecord, Record
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.bundle.sign import refuse_unsigned, sign_manifest
from toolchain.deploy.transport import Shipment, Transport
from toolchain.errors import ToolchainError, storage, usage
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.prove import conclude, prove_bundle
from toolchain.report import remove_reports, write_reports
from toolchain.report.error_document import build_error_report
from toolchain.report.explanation import read_graph_notes
from toolchain.report.shape import Report
from toolchain.run.atomic import write_atomically
from toolchain.run.cache import Cache, Entry, cache_root
from toolchain.run.progress import Progress
from toolchain.run.provenance import describe_run
from toolchain.stages.bundle import LoweredFor


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked of a deploy beside recipe and target."""

    settings: MeasureSettings
    freshness: Freshness
    sign_with: Path | None = None
    """An OpenSSH key; None ships the bundle unsigned."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The bundle, the lowered payload of every precision and runtime that the target lists, and what weakens the verdict."""

    bundle: Entry
    candidates: list[tuple[LoweredFor, Entry]]
    explained: Entry
    """What is known of the layers of the first of them."""
    warnings: list[str]


def deploy_model(
    recipe: Recipe, target: Target, *, out: Path, transport: Transport, order: Order, progress: Progress
) -> Report:
    """Take a model to the board, prove it there, write the reports to `out` and return the verdict.

    The reports of an earlier run go first: a run that ends without a verdict must not leave one behind. A verdict
    that is not "pass" is a result and is returned. Raises ToolchainError where something stopped the run; the reports
    in `out` say so as well.
    """
    remove_reports(out)
    # An ONNX file alone may lie in a repository of a stranger's; who wrote a recipe runs Python here anyway.
    provenance = describe_run(recipe.folder if recipe.path.is_file() else None)
    run: stages.Run | None = None
    try:
        refuse_unsigned(target, order.sign_with)
        _check_demand(recipe, target)
        run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
        facts = {runtime: transport.read_facts(runtime) for runtime in target.runtimes}
        # The agent asks again; here it saves the work, and keeps the bundle that lies on the board.
        for each in facts.values():
            check_compatible(target.describe_compatible(), each)
        made = stages.run_stages(run, lambda run: _make_bundle(run, target, facts, order.freshness), gives=Made)
        shipment = _make_shipment(made.bundle.folder / "bundle", target, order)
        manifest_bytes = read_manifest_bytes(shipment.bundle)
        proof = prove_bundle(shipment, manifest_bytes, transport, run.records, progress)
    except ToolchainError as error:
        records = run.records if run is not None else []
        write_reports(
            out,
            build_error_report(
                error=error, model=recipe.name, target=target.name, stages=records, provenance=provenance
            ),
        )
        raise
    lowerings = {lowered_for: _read_json(entry, "lowering.json") for lowered_for, entry in made.candidates}
    return conclude(
        proof,
        shipment,
        out=out,
        record=_name_layers(proof.answer.record, lowerings),
        sign_with=order.sign_with,
        stages=run.records,
        provenance={**provenance, **run.describe_inputs()},
        device=transport.device,
        notes=[*run.notes, *made.warnings, *stages.list_outliers(run, target, lowerings)],
        float_reasons={
            layer["name"]: layer["reason"] for document in lowerings.values() for layer in document["kept_in_float"]
        },
        graphs=read_graph_notes(lowerings, _read_json(made.explained, "layers.json")),
    )


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


def _make_bundle(run: stages.Run, target: Target, facts: Mapping[str, Facts], freshness: Freshness) -> Made:
    """Return the bundle for a board with these facts, and what it is made from."""
    float_weights = stages.train(run)
    imported = stages.export(run, None) if float_weights is None else None
    warnings = stages.evidence(run, float_weights, imported)
    plain = imported or stages.export(run, float_weights)
    float_export = exported = stages.put_input(run, plain)
    float_model = model = stages.optimize(run, float_export)
    float_golden = golden = stages.golden(run, plain, float_weights)
    weights = stages.compress(run, float_weights)
    if weights != float_weights:
        plain = stages.export(run, weights)
        exported = stages.put_input(run, plain)
        model = stages.optimize(run, exported)
    # Frames that the application resizes are others than the data set's own: drift and metric are held against those.
    is_reframed = stages.is_reframed(run)
    if weights != float_weights or is_reframed:
        golden = stages.golden(run, plain, weights, sensed=is_reframed)
    candidates: dict[LoweredFor, Entry] = {
        (precision, runtime): stages.lower(
            run, model, target.narrow(precision, runtime), precision, facts[runtime], exported=exported
        )
        for precision, runtime in stages.list_lowered(run, target)
    }
    explained = stages.explain(run, model, next(iter(candidates.values())), target.precision[0])
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
    return Made(bundle=bundle, candidates=list(candidates.items()), explained=explained, warnings=warnings)


def _read_json(entry: Entry, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((entry.folder / name).read_text(encoding="utf-8"))
    return document


def _name_layers(record: Record, lowerings: Mapping[LoweredFor, Mapping[str, Any]]) -> Record:
    """Return the record with the ONNX file's names for layers that the runtime calls otherwise."""

    def rename(candidate: CandidateRecord) -> CandidateRecord:
        names = lowerings.get((candidate.precision, candidate.runtime), {}).get("layer_names", {})

        def call(name: str) -> str:
            return str(names.get(name, name))

        layers = tuple(replace(layer, name=call(layer.name)) for layer in candidate.placement.layers)
        times = candidate.layer_times
        if times is not None:
            renamed = [
                replace(kernel, name=call(kernel.name), layers=tuple(map(call, kernel.layers)))
                for kernel in times.kernels
            ]
            times = replace(times, kernels=tuple(renamed))
        return replace(candidate, placement=Placement(layers=layers), layer_times=times)

    return replace(record, candidates=tuple(map(rename, record.candidates)))


def lower_file(recipe: Recipe, target: Target, *, out: Path, progress: Progress) -> None:
    """Write model.onnx and lowering.json of one precision into a folder; model.engine too where the host builds it."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    entry = stages.run_stages(run, lambda run: stages.lower_alone(run, target), gives=Entry)
    try:
        (out / "model.engine").unlink(missing_ok=True)  # of an earlier lowering: it is not of this model.onnx
    except OSError as error:
        raise storage(error) from error
    for path in [*sorted(entry.folder.glob("model.*")), entry.folder / "lowering.json"]:
        write_atomically(out / path.name, path.read_bytes())
