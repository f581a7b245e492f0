"""What the tests' models learn."""

from __future__ import annotations

from typing import Any

from toolchain.module.fit import Loss, learn
from toolchain.module.objective import Objective
from toolchain.tasks import find_task


def make_objective(name: str = "classification", **options: Any) -> Objective:
    """Return a task's own loss with these options."""
    task = find_task(name)
    own = task.Options(**options)
    return Objective(loss=task.make_loss(own), targets=task.TARGETS, task=task, options=own)


def learn_labels() -> Loss:
    """Return what trains a classifier."""
    return learn(make_objective().loss)
