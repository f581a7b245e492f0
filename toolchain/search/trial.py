"""One trial: the recipe with the drawn entries, stopped early where it is hopeless, through the whole flow otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from pydantic import JsonValue

from toolchain import stages
from toolchain.agent.manifest import Precision
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.agent.measure.targets import TargetArray, slice_target
from toolchain.data.dataset import Samples
from toolchain.deploy.local import LocalTransport
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import measure_metric, start_accelerator
from toolchain.pipeline import Order, deploy_model
from toolchain.project.freshness import Freshness
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress
from toolchain.search.objectives import Objectives
from toolchain.stages.module import load_model


@dataclass(frozen=True)
class Draw:
    """What a trial tries."""

    entries: Sequence[Mapping[str, JsonValue]]
    precision: Precision


@dataclass(frozen=True)
class EarlyStop:
    """When a trial is not worth the rest of the flow."""

    metric: str
    """The task metric by name."""
    reference: float
    """The float model's in PyTorch."""
    drop_max: float
    samples: int
    """Of the evaluation set, the first so many: both models see the same."""


def derive_recipe(recipe: Recipe, draw: Draw) -> Recipe:
    """Return the recipe that a trial deploys: the entries come after the recipe's own, paths stay relative to it."""
    entries = [*recipe.compress, *(dict(entry) for entry in draw.entries)]
    return recipe.model_copy(update={"compress": entries, "search": None}).at(recipe.path, name=recipe.name)


def measure_reference(recipe: Recipe, *, samples: int, progress: Progress) -> float:
    """Return the float model's metric on the first evaluation samples; it is trained first where it has no weights."""
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    weights = stages.train(run)
    if weights is None:
        raise TypeError("an ONNX file is not searched")  # the request is checked before
    stages.evidence(run, weights, None)
    with progress.stage("float metric"):
        return _measure(run, weights, samples)


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
            value = _measure(run, weights, stop.samples)
            drop = find_metric(stop.metric).SCALE.measure_drop(stop.reference, value)
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


@dataclass(frozen=True)
class _First:
    """The first samples of a set."""

    samples: Samples
    count: int

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        return {name: slice_target(target, 0, self.count) for name, target in self.samples.targets.items()}

    @property
    def sha256(self) -> str:
        return self.samples.sha256

    def __len__(self) -> int:
        return self.count

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        return self.samples.batch(start, min(stop, self.count))


def _measure(run: stages.Run, weights: Any, samples: int) -> float:
    if run.scoring is None:
        raise TypeError("a recipe without a metric is not searched")  # the request is checked before
    first = _First(run.data.evaluation, min(samples, run.count_evaluation()))
    return measure_metric(load_model(run, weights), first, scoring=run.scoring, accelerator=start_accelerator())
