"""What a model may be for, by the targets in its data and the shapes of its outputs: a guess, and said to be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.agent.measure.targets import LABELS, list_ragged_names
from toolchain.begin.brought import Tensor
from toolchain.project.members import list_members, load_member
from toolchain.project.seams import TASKS

# A table of scores: samples and classes.
_SCORES_AXES = 2
_PICTURE_AXES = 4


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A task, and why."""

    task: str | None
    """None where nothing tells."""
    because: str
    has_targets: bool
    """Whether the data have what the task is judged by."""


def guess_task(inputs: Sequence[Tensor], outputs: Sequence[Tensor], targets: Sequence[str]) -> Guess:
    """Return the task that fits the targets in the data; without any, the one that the outputs look like."""
    fitting = [name for name, member in list_members(TASKS).items() if _has(load_member(member).TARGETS, targets)]
    shaped = _guess_by_shape(inputs, outputs)
    if fitting:
        chosen = shaped if shaped in fitting else fitting[0]
        if list(targets) == [LABELS] and "classification" in fitting:
            chosen = "classification"
        return Guess(task=chosen, because=f"the data have {', '.join(targets)}", has_targets=True)
    if shaped is None:
        return Guess(task=None, because="neither the data nor the outputs tell", has_targets=False)
    return Guess(task=shaped, because=f"the output is {outputs[0]}", has_targets=False)


def _has(needed: Sequence[str], targets: Sequence[str]) -> bool:
    """Return whether the targets are those of a task, as whole arrays or ragged ones; the input itself is none."""
    arrays = [{name, *list_ragged_names(name)} for name in needed]
    return set(targets) <= set().union(*arrays) and all(array & set(targets) for array in arrays) and bool(targets)


def _guess_by_shape(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str | None:
    if len(outputs) != 1 or outputs[0].axes is None:
        return None
    axes = outputs[0].axes
    read = inputs[0].axes if len(inputs) == 1 else None
    if read is not None and len(read) == len(axes) and axes[1:] == read[1:] and len(axes) > 1:
        return "reconstruction"
    if len(axes) == _SCORES_AXES and isinstance(axes[1], int):
        return "classification" if axes[1] > 1 else "regression"
    if len(axes) == _PICTURE_AXES and read is not None and len(read) == _PICTURE_AXES and axes[2:] == read[2:]:
        return "segmentation"
    return None
