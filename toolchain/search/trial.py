"""One trial: the recipe with the drawn entries, stopped early where it is hopeless, through the whole flow otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from toolchain import stages
from toolchain.agent.manifest import Precision
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.deploy.local import LocalTransport
from toolchain.errors import ExitCode, ToolchainError
from toolchain.pipeline import Order, deploy_model
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress
from toolchain.search.objectives import Objectives
from toolchain.search.reference import Reference, measure_compressed


@dataclass(frozen=True)
class Draw:
    """What a trial tries."""

    entries: Sequence[Mapping[str, JsonValue]]
    precision: Precision


@dataclass(frozen=True)
class EarlyStop:
    """When a trial is not worth the rest of the flow."""

    reference: Reference
    drop_max: float


def derive_recipe(recipe: Recipe, draw: Draw) -> Recipe:
    """Return the recipe that a trial deploys: the entries come after the recipe's own, paths stay relative to it."""
    entries = [*recipe.compress, *(dict(entry) for entry in draw.entries)]
    return recipe.model_copy(update={"compress": entries, "search": None}).at(recipe.path, name=recipe.name)


def run_trial(
    recipe: Recipe,
    target: Target,
    draw: Draw,
    *,
    stop: EarlyStop,
    objectives: Objectives,
    transport: LocalTransport,
    settings: MeasureSettings,
    progress: Progress,
) -> dict[str, Any]:
    """Return what is kept of a trial: its state, complete or stopped, and its numbers.

    The bundle goes, as its recipe makes it again.

    Raises ToolchainError where something stopped the run, and exit 20 where its measurement is worth nothing.
    """
    derived = derive_recipe(recipe, draw)
    run = stages.Run(recipe=derived, cache=Cache(cache_root()), progress=progress)
    float_weights = stages.train(run)
    weights = stages.compress(run, float_weights)
    if weights is not None and weights != float_weights:
        with progress.stage("metric"):
            value = measure_compressed(run, weights, stop.reference.samples)
            drop = objectives.scale.measure_drop(stop.reference.value, value)
        if drop > stop.drop_max:
            return {"state": "stopped", "drop": drop}
    out = transport.bundle.parent
    try:
        order = Order(settings=settings, freshness=Freshness(counter=0, expires=None))
        report = deploy_model(
            derived, target.narrow(draw.precision), out=out, transport=transport, order=order, progress=progress
        )
    finally:
        shutil.rmtree(transport.bundle, ignore_errors=True)
    if report["verdict"] == "invalid":
        raise ToolchainError(
            ExitCode.INVALID,
            "the measurement is worth nothing",
            found="; ".join(report["reasons"]),
            fix="stop what else runs on this machine, and search on with more --trials",
        )
    return {"state": "complete", **objectives.read_report(report)}
