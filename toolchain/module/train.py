"""From a recipe to its weights: data, model, loop, metric, gate, files."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from toolchain.agent.measure.metrics import Targets, find_metric
from toolchain.agent.measure.quantities import write_value
from toolchain.agent.measure.scoring import Scoring
from toolchain.data import Dataset, TrainingSamples, load_dataset
from toolchain.data.chance import find_chance
from toolchain.data.dataset import IMAGE_INPUT, are_pictures
from toolchain.data.shared_samples import refuse_learning_from_evaluation
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.module.builder import build_model
from toolchain.module.files import identify_files
from toolchain.module.fit import FitSettings, OnProgress, Watch, fit, hold_out, learn, measure_metric, start_accelerator
from toolchain.module.fit.lock import lock_training
from toolchain.module.lazy import materialize
from toolchain.module.objective import Objective, load_objective
from toolchain.module.pytorch_run import run_pytorch
from toolchain.module.weights import save_weights
from toolchain.project.recipe import Recipe, TrainSection
from toolchain.run.cache import hash_json, read_versions
from toolchain.run.provenance import find_git_commit
from toolchain.tasks.scoring import load_scoring

# What a training depends on beside our own code.
_LIBRARIES = ("torch", "torchvision", "accelerate", "numpy")


@dataclass(frozen=True)
class TrainResult:
    """Weights that passed the train stage's gate."""

    weights: Path
    metric_name: str | None
    """None where the recipe asks for none."""
    metric: float | None
    """On the whole test part, in the metric's unit."""
    samples: int
    """That the metric was measured on."""
    epochs: int
    duration_s: float
    measured: tuple[str, ...]
    """The outputs that the metric reads."""
    unmeasured: tuple[str, ...]
    """The others."""
    chance: float | None
    """What the best constant answer would score; None where the metric is of other things than classes."""
    has_learnt: bool
    """Whether any epoch was better than the untrained model, on what was held out; true where nothing was."""


def train_model(
    recipe: Recipe,
    *,
    out: Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    resume: bool = True,
    on_progress: OnProgress | None = None,
) -> TrainResult:
    """Train the recipe's model from scratch, write its weights and their provenance.

    Args:
        recipe: With a section [train].
        out: The safetensors file; None takes model.weights of the recipe.
        epochs: None takes the recipe's.
        seed: None takes the recipe's.
        resume: Go on from the checkpoint that an interrupted run left, where there is one.
        on_progress: Called after each step, in the main process only.

    Under `accelerate launch` or torchrun, every process calls this; the main one writes.

    Raises ToolchainError: a recipe that cannot be trained (exit 2), missing data (exit 3), another training of the same
    model into the same folder (exit 17), a metric that misses train.metric_min or metric_max (exit 24; the weights lie beside as
    NAME.rejected.safetensors).
    """
    section, weights = _check_recipe(recipe, out)
    if epochs is not None and epochs < 1:
        raise usage(
            "there is nothing to train",
            where="epochs",
            expected="at least 1",
            found=str(epochs),
            fix="leave epochs out, which takes those of [train] in the recipe",
        )
    settings = FitSettings(
        epochs=section.epochs if epochs is None else epochs,
        batch_size=section.batch_size,
        learning_rate=section.learning_rate,
        weight_decay=section.weight_decay,
        seed=section.seed if seed is None else seed,
        crop_padding=section.crop_padding,
        flip=section.flip,
        optimizer=section.optimizer,
    )
    command = _describe_command(recipe, epochs=epochs, seed=seed)
    checkpoint = weights.parent / "checkpoints" / f"{recipe.name}.pt"
    with lock_training(checkpoint, model=recipe.name):
        accelerator = start_accelerator()
        with accelerator.main_process_first():  # one process downloads
            dataset = _load_data(recipe, section)
        scoring = load_scoring(recipe)
        objective = load_objective(recipe, label_smoothing=section.label_smoothing)
        samples = _take_training(recipe, section, dataset, objective)
        refuse_learning_from_evaluation(
            samples, dataset.evaluation, len(dataset.evaluation), where=f"{recipe.path}: train.data"
        )
        settings = settings if objective.allows_augmentation else replace(settings, crop_padding=0)
        settings = replace(settings, flip=settings.flip and objective.allows_mirroring)
        torch.manual_seed(settings.seed)
        model = build_model(recipe)
        materialize(model, samples.batch(0, 1))
        outputs = _check_outputs(model, objective, dataset, samples)
        git_commit = find_git_commit(recipe.folder)
        measured = outputs if scoring is None else tuple(scoring.list_read(outputs))
        watch, learnt = None, samples
        if scoring is not None:
            kept, held = hold_out(samples, section.validation, seed=settings.seed)
            if held is not None and _can_measure(scoring, model, held, accelerator):
                watch, learnt = _make_watch(scoring, held, accelerator), kept
        started = time.monotonic()
        fit(
            model,
            learnt,
            settings,
            accelerator=accelerator,
            loss=learn(objective.loss),
            targets=objective.targets,
            checkpoint=checkpoint,
            resume=resume,
            on_progress=on_progress,
            identity={
                "label_smoothing": section.label_smoothing,
                "task": recipe.task.model_dump(),
                "build_options": recipe.model.build_options,
                "code_sha256": hash_json(identify_files(recipe)),
            },
            watch=watch,
            moves=objective.moves,
        )
        duration_s = time.monotonic() - started
        metric = None
        if scoring is not None:
            metric = measure_metric(model, dataset.evaluation, scoring=scoring, accelerator=accelerator)
        miss = _find_miss(scoring, metric, section)
        passed = miss is None
        path = weights if passed else weights.with_suffix(".rejected.safetensors")
        if accelerator.is_main_process:
            provenance = {
                "command": command,
                "model": recipe.name,
                "task": recipe.task.model_dump(),
                "build_options": recipe.model.build_options,
                "validation": None if watch is None else {"share": section.validation, "best_epoch": watch.epoch},
                "settings": {**asdict(settings), "label_smoothing": section.label_smoothing},
                "data": {
                    "name": dataset.name,
                    "licence": dataset.licence,
                    "train_sha256": samples.sha256,
                    "test_sha256": dataset.evaluation.sha256,
                    "tokenizer_sha256": dataset.tokenizer_sha256,
                },
                "metric": {
                    "name": recipe.metric_name,
                    "output": ", ".join(measured),
                    "value": metric,
                    "samples": len(dataset.evaluation),
                },
                "duration_s": round(duration_s, 1),
                **_describe_machine(accelerator),
                "git_commit": git_commit,
            }
            save_weights(model, path, provenance)
            checkpoint.unlink(missing_ok=True)
        accelerator.wait_for_everyone()
    if miss is not None:
        key, expected, found = miss
        raise ToolchainError(
            ExitCode.METRIC,
            "the trained model misses the metric that the recipe asks for",
            where=f"{path} (kept for a look)",
            expected=expected,
            found=found,
            fix=_advise(watch) + f"train longer (--epochs), change [train] of the recipe, or change train.{key}",
        )
    return TrainResult(
        weights=path,
        metric_name=recipe.metric_name,
        metric=metric,
        samples=len(dataset.evaluation),
        epochs=settings.epochs,
        duration_s=duration_s,
        measured=measured,
        unmeasured=tuple(name for name in outputs if name not in measured),
        chance=_find_chance(scoring, dataset.evaluation.targets),
        has_learnt=watch is None or watch.has_learnt,
    )


def _find_chance(scoring: Scoring | None, targets: Targets) -> float | None:
    return None if scoring is None or scoring.is_decoded else find_chance(find_metric(scoring.name), targets)


def _can_measure(scoring: Scoring, model: nn.Module, held: TrainingSamples, accelerator: Accelerator) -> bool:
    """Return whether what is held out tells models apart: what learns from normal samples alone has no anomaly there."""
    if any(name not in held.targets for name in scoring.targets):
        return False
    try:
        measure_metric(model, held, scoring=scoring, accelerator=accelerator)
    except ToolchainError as error:
        if error.code is ExitCode.INVALID:
            return False
        raise
    return True


def _make_watch(scoring: Scoring, samples: TrainingSamples, accelerator: Accelerator) -> Watch:
    def measure(model: nn.Module) -> float:
        return measure_metric(model, samples, scoring=scoring, accelerator=accelerator)

    return Watch(measure, scoring.scale)


def _find_miss(scoring: Scoring | None, metric: float | None, section: TrainSection) -> tuple[str, str, str] | None:
    """Return the key of the recipe that a metric misses, what it asks for and what there is; None where it is reached."""
    if scoring is None or metric is None:
        return None
    scale = scoring.scale
    key, words = ("metric_min", "at least") if scale.direction == "higher" else ("metric_max", "at most")
    limit = section.metric_min if scale.direction == "higher" else section.metric_max
    if limit is None or scale.measure_drop(limit, metric) <= 0:
        return None
    return key, f"{scoring.name} of {words} {write_value(limit, scale.unit)}", write_value(metric, scale.unit)


def _advise(watch: Watch | None) -> str:
    """Return what to try first, where a training lost in an epoch what it had gained."""
    if watch is None or watch.fall is None:
        return ""
    before, after = (f"{value:.4g}" for value in (watch.fall.before, watch.fall.after))
    return f"lower train.learning_rate (what is held out fell from {before} to {after} in epoch {watch.fall.epoch}), "


def _check_recipe(recipe: Recipe, out: Path | None) -> tuple[TrainSection, Path]:
    if recipe.train is None:
        raise usage("the recipe has no section [train]", where=str(recipe.path), fix="add one, or bring the weights")
    if out is not None:
        return recipe.train, out
    if recipe.model.weights is None:
        raise usage(
            "the recipe names no file for the weights",
            where=f"{recipe.path}: model",
            expected="weights",
            fix='add weights = "weights.safetensors" to [model], or give the file with --out',
        )
    return recipe.train, recipe.folder / recipe.model.weights


def _load_data(recipe: Recipe, section: TrainSection) -> Dataset:
    if section.data is None:
        return load_dataset(recipe.data.name, recipe.data.options, folder=recipe.folder)
    return load_dataset(section.data, section.options, folder=recipe.folder)


def _take_training(recipe: Recipe, section: TrainSection, dataset: Dataset, objective: Objective) -> TrainingSamples:
    """Return what is trained on; raises ToolchainError (exit 2) where there is nothing, or it cannot be augmented."""
    where = f"{recipe.path}: train.data"
    if dataset.train is None:
        raise usage(
            f"the data set {dataset.name} has nothing to train on",
            where=where,
            expected="a labelled training part, apart from what is evaluated on",
            found="none",
            fix="give npz two files, the first one with labels: options = { path = ..., evaluation = ... }"
            if dataset.name == "npz"
            else "name another data set in train.data",
        )
    asked = {key for key in section.model_fields_set & {"crop_padding", "flip"} if getattr(section, key)}
    if asked and not objective.allows_augmentation:
        raise usage(
            "the recipe asks for an augmentation that would move what the targets say",
            where=f"{recipe.path}: train.{min(asked)}",
            expected=f"none for the task {recipe.task.name}",
            found=f"{min(asked)} = {getattr(section, min(asked))}",
            fix="remove crop_padding and flip",
        )
    if "flip" in asked and not objective.allows_mirroring:
        raise usage(
            "the recipe asks for mirrored pictures, and nobody knows which points change places there",
            where=f"{recipe.path}: train.flip",
            expected="pairs of points in task.options",
            found="flip = true",
            fix="give task.options.pairs, such as [[1, 2]] for the left and the right eye, or [] where no point has a "
            "side; or remove flip",
        )
    if asked and not are_pictures(dataset.train.batch(0, 1)):
        raise usage(
            "the recipe asks for an augmentation of pictures, and the data is none",
            where=f"{recipe.path}: train.{min(asked)}",
            expected=f"one array {IMAGE_INPUT!r} of floats (N, C, H, W)",
            found=", ".join(f"{name} {array.shape}" for name, array in dataset.train.batch(0, 1).items()),
            fix="remove crop_padding and flip: without them nothing but pictures is augmented",
        )
    return dataset.train


def _check_outputs(
    model: nn.Module, objective: Objective, dataset: Dataset, samples: TrainingSamples
) -> tuple[str, ...]:
    """Return the names of the model's outputs, after one sample: a model of another shape is an error of the recipe."""
    outputs = run_pytorch(model, samples.batch(0, 1))
    for part, targeted in (("train", samples), ("test", dataset.evaluation)):
        where = f"the {part} part of the data set {dataset.name}"
        objective.check(outputs, targeted, where=where, classes=dataset.classes)
    return tuple(outputs)


def _describe_command(recipe: Recipe, *, epochs: int | None, seed: int | None) -> str:
    command = f"toolchain train {recipe.name}"
    if epochs is not None:
        command += f" --epochs {epochs}"
    if seed is not None:
        command += f" --seed {seed}"
    return command


def _describe_machine(accelerator: Accelerator) -> dict[str, object]:
    """Return what else the result depends on."""
    return {
        "precision": accelerator.mixed_precision,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "device": accelerator.device.type,
        "versions": {"python": platform.python_version(), **read_versions(*_LIBRARIES)},
    }
