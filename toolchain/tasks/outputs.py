"""The outputs that a loss reads: found by name, or refused with the names that are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from toolchain.errors import ToolchainError, usage

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array")


def take_first(outputs: Mapping[str, Array]) -> tuple[str, Array]:
    """Return the first output and its name: what most tasks learn, whatever it is called."""
    for name, array in outputs.items():
        return name, array
    raise usage("the model returns nothing", where="output", fix="let forward return what the module computes")


def take_output(outputs: Mapping[str, Array], name: str, *, task: str) -> Array:
    """Return the output of this name; raises ToolchainError (exit 2) where there is none."""
    if name not in outputs:
        raise usage(
            f"{task} needs an output {name}",
            where="outputs",
            expected=name,
            found=", ".join(outputs) or "none",
            fix=f'let forward return a dict with "{name}"',
        )
    return outputs[name]


def refuse_first(task: str, outputs: Mapping[str, Any], expected: str) -> ToolchainError:
    """Return the error (exit 2) for a first output that is none of the task's."""
    name, output = take_first(outputs)
    others = f", the first of {', '.join(outputs)}" if len(outputs) > 1 else ""
    return usage(
        f"an output is none of the task {task}",
        where=f"output {name}{others}",
        expected=f"shape {expected}",
        found=f"shape {tuple(output.shape)}",
        fix="return it first and in this shape, or name the task that the model is for in task.name of the recipe",
    )


def view_scores(task: str, outputs: Mapping[str, Any]) -> Tensor:
    """Return the first output as scores of classes `(N, classes)`; a class axis may be followed by axes of one."""
    _, scores = take_first(outputs)
    if scores.ndim < 2 or scores.shape[0] * scores.shape[1] != scores.numel():
        raise refuse_first(task, outputs, "(N, classes)")
    view: Tensor = scores.reshape(scores.shape[:2])
    return view
