"""The flow, stated once: train, compress, export, optimize, lower, bundle, deploy, verify, report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.cache import Cache, cache_root
from toolchain.deploy.local import LocalTransport
from toolchain.deploy.transport import Transport
from toolchain.errors import ToolchainError
from toolchain.progress import Progress
from toolchain.provenance import describe_provenance
from toolchain.recipe import Recipe
from toolchain.report import write_reports
from toolchain.report.document import StageRecord, build_error_report, build_report
from toolchain.report.shape import Report
from toolchain.stages import Run
from toolchain.target import Target


def deploy_model(recipe: Recipe, target: Target, *, out: Path, progress: Progress, transport: Transport) -> Report:
    """Take a model to the board and prove it there; write the reports to `out` and return the verdict.

    A verdict that is not "pass" is a result and is returned. Raises ToolchainError where a stage stopped the
    run; then the reports in `out` say so as well.
    """
    run = Run(recipe=recipe, target=target, cache=Cache(cache_root()), progress=progress)
    try:
        weights = run.train()
        reference = run.optimize(run.export(weights))
        exported = run.export(run.compress(weights))
        optimized = run.optimize(exported)
        candidates = {name: run.lower(optimized, name, transport.read_facts(target.runtime)) for name in target.precision}
        bundle = run.bundle(candidates, reference=reference, golden=run.golden(exported), float_golden=run.golden())
        with run.timed("deploy"):
            transport.place_bundle(bundle.folder)
        with run.timed("verify"):
            measurements, samples = measure_bundle(transport, progress)
    except ToolchainError as error:
        report = build_error_report(
            error=error, model=recipe.name, target=target.name, stages=run.records, provenance=run.provenance()
        )
        write_reports(out, report)
        raise
    return report
