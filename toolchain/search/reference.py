"""What trials are held against: the float model on the first evaluation samples, and what makes one search another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toolchain import stages
from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import TargetArray, join_batches, slice_target
from toolchain.data.dataset import Samples
from toolchain.module.files import identify_member
from toolchain.module.fit import measure_metric, start_accelerator
from toolchain.module.pytorch_run import run_pytorch
from toolchain.project.recipe import Recipe
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress
from toolchain.stages.module import load_model

_BATCH = 50


@dataclass(frozen=True)
class Reference:
    """The float model in PyTorch, and the samples that every trial's model sees too."""

    value: float
    """Of the task metric."""
    samples: Samples
    identity: Mapping[str, Any]
    """Of the model, the data and what judges: trials of another one are no neighbours of these. JSON types."""


@dataclass(frozen=True)
class _First:
    """The first samples of a set, with what they are held against."""

    samples: Samples
    count: int
    targets: Mapping[str, TargetArray]

    @property
    def sha256(self) -> str:
        return self.samples.sha256

    def __len__(self) -> int:
        return self.count

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        return self.samples.batch(start, min(stop, self.count))


def measure_reference(recipe: Recipe, *, samples: int, progress: Progress) -> Reference:
    """Return the float model's metric on the first evaluation samples; it is trained first where it has no weights.

    Raises ToolchainError as the stages do: for data that prove nothing of the float model, before any trial.
    """
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    weights = stages.train(run)
    if weights is None or run.scoring is None:
        raise TypeError("no model of PyTorch with a metric")  # the request is checked before
    stages.evidence(run, weights, None)
    with progress.stage("float metric"):
        first = _take_first(run, run.scoring, weights, min(samples, run.count_evaluation()))
        value = measure_compressed(run, weights, first)
    return Reference(value=value, samples=first, identity=_identify(run, weights))


def measure_compressed(run: stages.Run, weights: Path, samples: Samples) -> float:
    """Return the task metric of the recipe's model with these weights."""
    if run.scoring is None:
        raise TypeError("a recipe without a metric is not searched")  # the request is checked before
    return measure_metric(load_model(run, weights), samples, scoring=run.scoring, accelerator=start_accelerator())


def _take_first(run: stages.Run, scoring: Scoring, weights: Path, count: int) -> _First:
    """Return the first evaluation samples with the data's targets, or with the float model's answers where it is the truth."""
    evaluation = run.data.evaluation
    if run.answer is None:
        targets = {name: slice_target(target, 0, count) for name, target in evaluation.targets.items()}
        return _First(samples=evaluation, count=count, targets=targets)
    model, answers = load_model(run, weights), list[Targets]()
    for start in range(0, count, _BATCH):
        batch = evaluation.batch(start, min(start + _BATCH, count))
        outputs = run_pytorch(model, batch)
        read = {name: outputs[name] for name in scoring.list_read(list(outputs))}
        answers.append(run.answer(scoring.decode(read, batch)))
    return _First(samples=evaluation, count=count, targets=join_batches(answers))


def _identify(run: stages.Run, weights: Path) -> dict[str, Any]:
    data = run.data
    return {
        **run.identify_model(weights),
        "metric": run.describe_metric(),
        "members": [identify_member(member).identity for member in run.metric_members if not member.is_ours],
        "evaluation": [data.evaluation.sha256, run.count_evaluation()],
        "calibration": data.calibration.sha256,
        "train": None if data.train is None else data.train.sha256,
    }
