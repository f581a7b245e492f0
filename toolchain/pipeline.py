"""The flow, stated once: train, compress, export, optimize, lower, bundle, deploy, verify, report."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toolchain import stages
from toolchain.agent.contents import check_contents
from toolchain.agent.facts import Facts, check_compatible, read_facts
from toolchain.agent.manifest import Compatible, read_manifest
from toolchain.atomic import write_atomically
from toolchain.cache import Cache, Entry, cache_root
from toolchain.deploy.local import run_agent
from toolchain.deploy.transport import AgentResult, OnProgress, Transport
from toolchain.errors import ToolchainError
from toolchain.progress import Progress
from toolchain.provenance import describe_run
from toolchain.recipe import Recipe
from toolchain.report import remove_reports, write_reports
from toolchain.report.document import build_error_report, build_report
from toolchain.report.shape import Report
from toolchain.target import Target

RunAgent = Callable[[Sequence[str], OnProgress], AgentResult]
"""Runs the agent of one bundle; see Transport."""


@dataclass(frozen=True)
class LatencyEffort:
    """How much is spent on measuring latency; None leaves it to the agent."""

    samples: int | None = None
    """Of each payload."""
    limit_s: float | None = None

    def list_arguments(self) -> list[str]:
        """Return the options of the agent's command."""
        options = {"--latency-samples": self.samples, "--latency-limit-s": self.limit_s}
        return [text for name, value in options.items() if value is not None for text in (name, str(value))]


def deploy_model(
    recipe: Recipe, target: Target, *, out: Path, transport: Transport, effort: LatencyEffort, progress: Progress
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
        run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
        bundle, lowered = _make_bundle(run, target, transport)
        with run.timed("deploy"):
            transport.place_bundle(bundle.folder / "bundle")
        with run.timed("verify"):
            measured = measure_bundle(transport.run_agent, effort, progress)
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
        measurements=_name_layers(measured.document, lowerings),
        manifest=json.loads((bundle.folder / "bundle" / "manifest.json").read_text(encoding="utf-8")),
        stages=run.records,
        provenance={**provenance, **run.describe_inputs()},
        signature="unsigned",
        float_reasons={
            layer["name"]: layer["reason"] for document in lowerings.values() for layer in document["kept_in_float"]
        },
    )
    write_reports(out, report, measured.samples_ms)
    return report


def _make_bundle(run: stages.Run, target: Target, transport: Transport) -> tuple[Entry, dict[str, Entry]]:
    """Return the bundle, and the lowered payload of every precision that the target lists."""
    facts = Facts(**transport.read_facts(target.runtime))
    # The agent asks again; here it saves the work, and keeps the bundle that lies on the board.
    check_compatible(Compatible(**target.compatible.model_dump()), facts)
    float_weights = stages.train(run)
    float_export = exported = stages.export(run, float_weights)
    float_model = model = stages.optimize(run, float_export)
    float_golden = golden = stages.golden(run, float_export, float_weights)
    weights = stages.compress(run, float_weights)
    if weights != float_weights:
        exported = stages.export(run, weights)
        model = stages.optimize(run, exported)
        golden = stages.golden(run, exported, weights)
    candidates: dict[str, Entry] = {name: stages.lower(run, model, target, name, facts) for name in target.precision}
    bundle = stages.bundle(run, target, candidates, reference=float_model, golden=golden, float_golden=float_golden)
    return bundle, candidates


@dataclass(frozen=True)
class Measured:
    """What the agent measured on the board: its JSON object, and every latency sample in ms by payload."""

    document: Mapping[str, Any]
    samples_ms: Mapping[str, Sequence[float]]


def measure_bundle(run_agent: RunAgent, effort: LatencyEffort, progress: Progress) -> Measured:
    """Run the agent of the bundle on the board and return what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.json"
        arguments = ["verify", ".", "--samples", str(path), *effort.list_arguments()]
        result = run_agent(arguments, show_steps(progress))
        return Measured(document=result.document, samples_ms=json.loads(path.read_text(encoding="utf-8")))


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


def _name_layers(measurements: Mapping[str, Any], lowerings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the measurements with the ONNX file's names for layers that the runtime calls otherwise."""
    named = copy.deepcopy(dict(measurements))
    for candidate in named["candidates"]:
        names = lowerings.get(candidate["precision"], {}).get("layer_names", {})
        for layer in (candidate.get("placement") or {}).get("layers", []):
            layer["name"] = names.get(layer["name"], layer["name"])
    return named


def verify_bundle(bundle: Path, *, effort: LatencyEffort, progress: Progress) -> Report:
    """Prove a bundle on this machine again, as it lies there, and return the verdict; nothing is written.

    Raises ToolchainError as the agent does: exit 10, 11, 12 or 23 for a bundle that is not what it should be.
    """
    with progress.stage("verify"):
        manifest, _ = read_manifest(bundle)
        check_contents(bundle, manifest)  # before the agent that lies in it runs
        measured = measure_bundle(partial(run_agent, bundle), effort, progress)
    return build_report(
        measurements=measured.document,
        manifest=json.loads((bundle / "manifest.json").read_text(encoding="utf-8")),
        stages=[],
        provenance=describe_run(bundle),
        signature="unsigned",
        bundle_path=str(bundle),
    )


def lower_file(recipe: Recipe, target: Target, *, out: Path, progress: Progress) -> None:
    """Write model.onnx and lowering.json of one precision into a folder."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    facts = read_facts(target.runtime)
    optimized = stages.optimize(run, stages.export(run, stages.train(run)))
    entry = stages.lower(run, optimized, target, target.precision[0], facts)
    for name in ("model.onnx", "lowering.json"):
        write_atomically(out / name, (entry.folder / name).read_bytes())
