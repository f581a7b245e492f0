"""What a training of a recipe's model learns: the loss of its task, or the user's own, and the targets that it reads."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from torch import Tensor

from toolchain.data.dataset import Samples
from toolchain.errors import usage
from toolchain.module.builder import load_function
from toolchain.project.recipe import Recipe
from toolchain.project.toml_file import Section
from toolchain.tasks import (
    Movement,
    allows_mirroring,
    check_options,
    check_targets,
    find_movements,
    find_task,
)

if TYPE_CHECKING:
    from toolchain.tasks import TargetTensor, Task, TaskLoss


@dataclass(frozen=True)
class Objective:
    """A loss, and what it reads."""

    loss: TaskLoss
    targets: tuple[str, ...]
    task: Task
    options: Section | None = None
    """Of the task's loss; None with the user's own."""

    @property
    def allows_augmentation(self) -> bool:
        """Whether it is known what a picture's targets become where it is shifted and mirrored."""
        return self.targets == self.task.TARGETS and self.task.MOVES is not None

    @property
    def allows_mirroring(self) -> bool:
        """Whether it is known what they become in a mirror."""
        return self.allows_augmentation and allows_mirroring(self.task, self.options)

    @property
    def moves(self) -> Mapping[str, Movement]:
        """The targets that move with a picture, and how."""
        return find_movements(self.task, self.options) if self.allows_augmentation else {}

    def check(
        self, outputs: Mapping[str, NDArray[Any]], samples: Samples, *, where: str, classes: Sequence[str] | None = None
    ) -> None:
        """Refuse (exit 2) outputs or targets that this cannot learn from; where: what says the data."""
        check_targets(self.targets, samples, where=where)
        if self.options is not None:
            self.task.check(self.options, outputs, samples, where=where, classes=classes)


def load_objective(recipe: Recipe, *, label_smoothing: float | None = None) -> Objective:
    """Return what a training of this recipe learns; label_smoothing: of its [train], for a classifier.

    Raises ToolchainError (exit 2): an unknown task or option, a loss of the user's that is not there.
    """
    section = recipe.task
    task = find_task(section.name, where=f"{recipe.path}: task.name")
    if section.loss is not None:
        targets = task.TARGETS if section.targets is None else tuple(section.targets)
        return Objective(loss=_load_own_loss(recipe, section.loss), targets=targets, task=task)
    given = dict(section.options)
    if label_smoothing and section.name == "classification":
        given.setdefault("label_smoothing", label_smoothing)
    options = check_options(section.name, given, where=f"{recipe.path}: task.options")
    return Objective(loss=task.make_loss(options), targets=task.TARGETS, task=task, options=options)


def _load_own_loss(recipe: Recipe, loss: str) -> TaskLoss:
    where = f"{recipe.path}: task.loss"
    function = load_function(recipe, loss, where=where)

    def compute(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        with contextlib.redirect_stdout(sys.stderr):
            value = function(outputs, targets)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise usage(
                "the loss is no number",
                where=where,
                expected="a tensor of one element, the mean over the batch",
                found=f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
                fix=f"let {loss} return the mean",
            )
        return value.reshape(())

    return compute
