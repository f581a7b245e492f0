"""What the tests' models learn, and how they are scored."""

from __future__ import annotations

from typing import Any

from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.scoring import Scoring
from toolchain.module.fit import Loss, learn
from toolchain.module.objective import Objective
from toolchain.tasks import find_task


def make_objective(name: str = "classification", **options: Any) -> Objective:
    """Return a task's own loss with these options."""
    task = find_task(name)
    own = task.Options(**options)
    return Objective(loss=task.make_loss(own), targets=task.TARGETS, task=task, options=own)


def make_scoring(name: str = "top1") -> Scoring:
    """Return a metric over a model's outputs as they are."""
    return Scoring(name, find_metric(name))


def learn_labels() -> Loss:
    """Return what trains a classifier."""
    return learn(make_objective().loss)
