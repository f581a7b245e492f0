"""Tasks: what a model is for, as training sees it. One a file, under the name that recipes give it.

A task says which targets a model learns from, and its loss. What is measured of it is a metric
(agent/measure/metrics/), which knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from toolchain.data.dataset import Samples
from toolchain.errors import usage
from toolchain.project.members import Member, find_member, load_member
from toolchain.project.seams import TASKS
from toolchain.project.toml_file import Section, check_table
from toolchain.tasks.itself import INPUT

if TYPE_CHECKING:
    from torch import Tensor

    TargetTensor = Tensor | list[Tensor]
    """Of a batch: `(N, …)`, or a tensor a sample where each has another number of rows."""
    TaskLoss = Callable[[Mapping[str, Tensor], Mapping[str, TargetTensor]], Tensor]
    """From a model's outputs and a batch's targets, both by name, to the mean over the samples, a scalar."""


_POINTS = "points"


@dataclass(frozen=True)
class Movement:
    """How a target moves with the places of a picture."""

    kind: str
    """What it is: "boxes", "mask" or "points" (module/fit/move_targets.py)."""
    pairs: tuple[tuple[int, int], ...] = ()
    """Of points, those that change places in a mirror: the left hand and the right one."""


class Task(Protocol):
    """A module of this folder. Importing it needs no torch; its loss may."""

    SUMMARY: str
    METRIC: str
    """What is measured where a recipe says nothing."""
    TARGETS: tuple[str, ...]
    """What the loss compares with, of each sample."""
    DECODER: str | None
    """Between the outputs and the metric, where a recipe says nothing (agent/measure/decoders/); None is none."""
    CLASS_AXIS: int | None
    """Along which the first output has the scores of classes that exclude each other; None where it has none."""
    MOVES: Mapping[str, str] | None
    """Which targets move with the places of a picture, and as what ("boxes", "mask", "points"); None where that is not
    known, so that a picture must stay as it is."""
    Options: type[Section]
    """Of the loss: task.options in a recipe."""

    def make_loss(self, options: Any) -> TaskLoss:
        """Return the loss; it raises ToolchainError (exit 2) for outputs that are none of this task's."""

    def describe_decoder(self, options: Any) -> dict[str, Any]:
        """Return the options of DECODER; a task without one needs no such function."""

    def list_pairs(self, options: Any) -> tuple[tuple[int, int], ...] | None:
        """Return which points change places in a mirror; None where that is not known, and no picture may be mirrored.

        A task whose MOVES has no "points" needs no such function.
        """

    def check(
        self,
        options: Any,
        outputs: Mapping[str, Any],
        samples: Samples,
        *,
        where: str,
        classes: Sequence[str] | None,
    ) -> None:
        """Refuse (exit 2) outputs of one batch, as NumPy arrays, or targets that do not fit each other.

        where: what says the data. classes: their names, where the data set has some.
        """


def find_task(name: str, *, where: str = "task.name") -> Task:
    """Return the task of this name; raises ToolchainError (exit 2) for an unknown one."""
    return cast("Task", load_member(find_member(TASKS, name, where=where)))


def find_task_member(name: str) -> Member:
    """Return the module of the task of this name, unloaded; raises ToolchainError (exit 2) for an unknown one."""
    return find_member(TASKS, name, where="task.name")


def find_movements(task: Task, options: Section | None) -> Mapping[str, Movement]:
    """Return how the targets of a task move with a picture; options: of its loss, None with the user's own loss."""
    pairs = _list_pairs(task, options) or ()
    return {
        name: Movement(kind, pairs) if kind == _POINTS else Movement(kind) for name, kind in (task.MOVES or {}).items()
    }


def allows_mirroring(task: Task, options: Section | None) -> bool:
    """Return whether it is known what the targets of a task are in a mirror."""
    if task.MOVES is None:
        return False
    return _POINTS not in task.MOVES.values() or _list_pairs(task, options) is not None


def _list_pairs(task: Task, options: Section | None) -> tuple[tuple[int, int], ...] | None:
    if options is None or _POINTS not in (task.MOVES or {}).values():
        return None
    return task.list_pairs(options)


def check_options(name: str, options: Mapping[str, Any], *, where: str) -> Section:
    """Return the options of a task's loss; raises ToolchainError (exit 2) for unknown keys and wrong values."""
    return check_table(find_task(name).Options, options, what=f"the options of {name}", where=where)


def check_targets(names: Sequence[str], samples: Samples, *, where: str) -> None:
    """Refuse (exit 2) samples without one of the targets that a loss learns from."""
    targets = samples.targets
    lacking = [name for name in names if name not in targets and name != INPUT]
    if lacking:
        raise usage(
            f"the data has no {lacking[0]} to learn from",
            where=where,
            expected=", ".join(f"{name} of each sample" for name in names),
            found=", ".join(targets) or "no targets",
            fix=f"name a data set with {lacking[0]}, or another task in task.name of the recipe",
        )
