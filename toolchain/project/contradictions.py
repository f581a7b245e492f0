"""Keys of a recipe that are right each and ask together for what cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.agent.manifest import PRECISIONS
from toolchain.errors import ToolchainError, usage
from toolchain.project.input_section import find_input_contradiction

if TYPE_CHECKING:
    from toolchain.project.recipe import Recipe


def find_contradiction(recipe: Recipe, path: Path) -> ToolchainError | None:
    """Return the error for keys that are right each and ask together for what cannot be done."""
    model, gates = recipe.model, recipe.gates
    if (model.onnx is None) == (model.build is None):
        return usage(
            "a recipe names a builder or an ONNX file",
            where=f"{path}: model",
            expected="exactly one of build and onnx",
            found="both" if model.onnx else "neither",
            fix="keep the one that the model comes from",
        )
    if model.build is not None and model.weights is None:
        return usage(
            "a builder needs weights",
            where=f"{path}: model",
            expected="weights, the path of a safetensors file",
            found="none",
            fix='add weights = "weights.safetensors"; `toolchain train` makes the file',
        )
    if (problem := _find_misplaced(recipe, path)) is not None:
        return problem
    problem = _find_task_contradiction(recipe, path) or _find_metric_contradiction(recipe, path)
    if problem is None and recipe.input is not None:
        problem = find_input_contradiction(recipe.input, str(path))
    if problem is not None:
        return problem
    for precision in sorted(gates.sqnr_db_min.keys() - set(PRECISIONS)):
        return usage(
            "there is no such precision",
            where=f"{path}: gates.sqnr_db_min",
            expected=f"one of {', '.join(PRECISIONS)}",
            found=precision,
            fix="correct its spelling",
        )
    return None


def _find_misplaced(recipe: Recipe, path: Path) -> ToolchainError | None:
    """Return the error for what is of a PyTorch model alone beside an ONNX file, or the other way round."""
    asks_for_module = {
        "model.weights": recipe.model.weights,
        "model.build_options": recipe.model.build_options,
        "task.loss": recipe.task.loss,
        "train": recipe.train,
        "compress": recipe.compress,
        "search": recipe.search,
    }
    for key, value in asks_for_module.items():
        if recipe.model.onnx is not None and value:
            return usage(
                f"{key} is for a PyTorch model, and this one is an ONNX file",
                where=f"{path}: {key}",
                expected="none beside model.onnx",
                found=str(value),
                fix="remove it, or name the builder in model.build",
            )
    if recipe.model.onnx is None and recipe.limits.model_fields_set:
        return usage(
            "limits are for an ONNX file, and this model is a builder's",
            where=f"{path}: limits",
            expected="none beside model.build",
            found=str(recipe.limits.model_dump(exclude_none=True)),
            fix="remove them: the builder's own Python runs with your rights, and without limits",
        )
    return None


def _find_task_contradiction(recipe: Recipe, path: Path) -> ToolchainError | None:
    """Return the error for keys of [task] that are for another kind of loss."""
    task = recipe.task
    if task.loss is not None and task.options:
        return usage(
            "there are options for a loss that is not used",
            where=f"{path}: task.options",
            expected="none beside task.loss",
            found=", ".join(task.options),
            fix="remove them, or task.loss",
        )
    if task.loss is None and task.targets is not None:
        return usage(
            "the task's own loss knows its targets",
            where=f"{path}: task.targets",
            expected="none without task.loss",
            found=", ".join(task.targets),
            fix="remove it, or name a loss of yours in task.loss",
        )
    if task.truth == "float" and (problem := _find_label_reader(recipe, path)) is not None:
        return problem
    data = recipe.data
    if task.metric is not None and data.metric not in (None, task.metric):
        return usage(
            "the recipe names two task metrics",
            where=f"{path}: task.metric and data.metric",
            expected="one",
            found=f"{task.metric} and {data.metric}",
            fix="remove one of them",
        )
    return None


def _find_label_reader(recipe: Recipe, path: Path) -> ToolchainError | None:
    """Return the error for what compares with labels, of a recipe that compares with the float model's answers."""
    section = recipe.train
    asked = {
        "data.metric": "none" if recipe.metric_name is None else None,
        "train.metric_min": None if section is None else section.metric_min,
        "train.metric_max": None if section is None else section.metric_max,
        "compress.drop_max": next((entry["drop_max"] for entry in recipe.compress if "drop_max" in entry), None),
    }
    for key, value in asked.items():
        if value is not None:
            return usage(
                f'task.truth = "float" compares with the float model\'s own answers, and {key} with none of them',
                where=f"{path}: {key}",
                expected="a metric to compare them by" if key == "data.metric" else 'none beside task.truth = "float"',
                found=str(value),
                fix="name a metric, or remove task.truth" if key == "data.metric" else f"remove {key}, or give labels",
            )
    return None


def _find_metric_contradiction(recipe: Recipe, path: Path) -> ToolchainError | None:
    """Return the error for a limit that is none of the metric's, and for its decision where there is none."""
    accuracy = recipe.quantize.accuracy
    if accuracy != "sqnr" and recipe.metric_name is None:
        return usage(
            f'quantize.accuracy = "{accuracy}" leaves a decision to the task metric, and there is none',
            where=f"{path}: quantize.accuracy",
            expected='"sqnr" beside metric = "none"',
            found=accuracy,
            fix="remove it, or name a metric in data.metric",
        )
    section = recipe.train
    limits = {
        "gates.metric_drop_max": recipe.gates.metric_drop_max,
        "gates.metric_drop_upper_max": recipe.gates.limits.get("metric_drop_upper_max"),
        "train.metric_min": None if section is None else section.metric_min,
        "train.metric_max": None if section is None else section.metric_max,
    }
    for key, limit in limits.items():
        if limit is None:
            continue
        where = f"{path}: {key}"
        if recipe.metric_name is None:
            return usage(
                "there is a gate on the task metric, and no task metric",
                where=where,
                expected='none beside metric = "none"',
                found=str(limit),
                fix="remove the gate, or name a metric in data.metric",
            )
        if not key.startswith("train"):
            continue
        from toolchain.agent.measure.metrics import find_metric

        scale = find_metric(recipe.metric_name).SCALE
        usable = {"higher": "train.metric_min", "lower": "train.metric_max"}[scale.direction]
        if key != usable:
            return usage(
                f"of {recipe.metric_name}, {scale.direction} values are better",
                where=where,
                expected=usable,
                found=key,
                fix=f"write {usable.partition('.')[2]}",
            )
        if not scale.contains(limit):
            return usage(
                f"{recipe.metric_name} has no such value",
                where=where,
                expected=f"{min(scale.worst, scale.best):g} to {max(scale.worst, scale.best):g}",
                found=str(limit),
                fix=f"correct {key}",
            )
    return None
