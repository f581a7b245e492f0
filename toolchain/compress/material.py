"""What a method has to work with beside the model: data, training, a teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from toolchain.agent.measure.scoring import Scoring
from toolchain.compress.draft import Draft
from toolchain.compress.outputs import Inputs, run_model
from toolchain.compress.pruning.zeros import KeepZerosHook
from toolchain.data.dataset import TrainingSamples
from toolchain.errors import usage
from toolchain.module.fit import (
    FitSettings,
    Hook,
    Loss,
    OnProgress,
    fit,
    learn,
    measure_metric,
    start_accelerator,
)
from toolchain.module.objective import Objective
from toolchain.project.compress_entry import FinetuneSection
from toolchain.tasks.itself import INPUT

if TYPE_CHECKING:
    from toolchain.run.progress import Advance


@dataclass(frozen=True)
class Material:
    """What a method has to work with beside the model."""

    calibration: TrainingSamples
    scoring: Scoring | None
    """How a model is scored by the task metric; None where the recipe asks for none."""
    objective: Objective
    """What its trainings learn."""
    load_training: Callable[[], TrainingSamples | None]
    """Loads the set to learn from only where a method trains."""
    load_teacher: Callable[[str], nn.Module]
    """From the name of a model or the path of a recipe to its float model, trained, in evaluation mode."""
    finetune: FinetuneSection | None
    """The entry's own."""
    crop_padding: int
    """How every training augments: see FitSettings."""
    flip: bool
    folder: Path
    """For checkpoints and what a method keeps between two runs; it goes when the entry is done."""
    on_progress: OnProgress
    where: str
    """The entry's place in the recipe, for errors."""
    keep_teacher_outputs: Callable[[str, Mapping[str, Any], Callable[[Path], None]], Path]
    """From a teacher, what else its outputs depend on, and what computes them into a folder: to the folder with them."""
    show_steps: Callable[[str, int], Advance]
    """From a name and a number of steps to what shows each of them."""

    def require_finetune(self, method: str) -> FinetuneSection:
        """Return the entry's training; raises ToolchainError (exit 2) where a method that trains has none."""
        if self.finetune is None:
            raise usage(
                f"{method} trains the model, and the entry does not say how long",
                where=self.where,
                expected="finetune = { epochs = 2 }",
                found="no finetune",
                fix="add it to the entry",
            )
        return self.finetune

    def take_training(self, targets: Sequence[str] | None = None) -> TrainingSamples:
        """Return the set to learn from: where no target is read and there is no training part, the calibration samples.

        targets: the names of what is read of each sample; None takes the objective's.
        Raises ToolchainError (exit 2) where there is none.
        """
        targets = self.objective.targets if targets is None else targets
        targets = [name for name in targets if name != INPUT]  # which every sample has
        samples = self.load_training()
        if samples is None and not targets:
            return self.calibration
        if samples is None or not set(targets) <= samples.targets.keys():
            raise usage(
                "the data has nothing to train on",
                where=self.where,
                expected=f"a data set with a training part that has {', '.join(targets) or 'samples'}",
                found="none",
                fix="name one in train.data of the recipe, or leave finetune out",
            )
        return samples

    def fit(
        self,
        draft: Draft,
        settings: FinetuneSection,
        *,
        name: str,
        loss: Loss | None = None,
        targets: Sequence[str] | None = None,
        hooks: Sequence[Hook] = (),
        trained: nn.Module | None = None,
    ) -> None:
        """Train the draft's model in place; wanted zeros stay, an interrupted training goes on where it stopped.

        Args:
            draft: Its layers' weights must be free to move.
            settings: How long and how fast.
            name: Of the checkpoint: one per training of an entry.
            loss: None takes the objective's.
            targets: The names of those that the loss reads; None takes the objective's.
            hooks: Run in their order, before the zeros are restored.
            trained: What is trained in the model's place: a module that holds it, and adapters beside it.

        Raises ToolchainError: exit 2 for a model with quantized weights, for outputs that the objective cannot learn,
        or where all weights are frozen; exit 24 for a loss that is no number.
        """
        if fixed := draft.list_fixed():
            raise usage(
                "a training would move weights that are quantized already",
                where=self.where,
                expected="trainings before the method that quantizes",
                found=f"{fixed[0]} is quantized",
                fix="put this entry before that method in the recipe",
            )
        if not any(parameter.requires_grad for parameter in draft.model.parameters()):
            raise usage(
                "a training would change nothing: all of the model's weights are frozen",
                where=self.where,
                expected="at least one parameter with requires_grad",
                found="none",
                fix="unfreeze some in the function that builds the model, or leave the training out",
            )
        samples = self.take_training(targets)
        if targets is None or targets:
            self.check_objective(draft.model, samples)
        augmented = self.objective.allows_augmentation
        fit(
            draft.model if trained is None else trained,
            samples,
            FitSettings(
                **settings.model_dump(),
                crop_padding=self.crop_padding if augmented else 0,
                flip=self.flip and self.objective.allows_mirroring,
            ),
            accelerator=start_accelerator(),
            loss=loss or learn(self.objective.loss),
            targets=self.objective.targets if targets is None else targets,
            moves=self.objective.moves if targets is None or targets else None,
            hooks=[*hooks, KeepZerosHook(draft.model, draft.list_zero_keepers())],
            checkpoint=self.folder / f"{name}.pt",
            resume=True,
            on_progress=self.on_progress,
        )

    def check_objective(self, model: nn.Module, samples: TrainingSamples) -> None:
        """Refuse (exit 2) a model or samples that the objective cannot learn."""
        outputs = {name: tensor.cpu().numpy() for name, tensor in run_model(model, self.inputs(1)).items()}
        self.objective.check(outputs, samples, where=f"{self.where}: the training part of the data")

    def measure_drop(self, model: nn.Module, reference: float) -> float:
        """Return by how much the task metric on the calibration samples is worse than the reference, in its unit."""
        scale = self.require_metric("its drop is measured").scale
        return scale.measure_drop(reference, self.measure_metric(model))

    def measure_metric(self, model: nn.Module) -> float:
        """Return the task metric of a model on the calibration samples, in its unit."""
        scoring = self.require_metric("it is measured")
        return measure_metric(model, self.calibration, scoring=scoring, accelerator=start_accelerator())

    def require_metric(self, why: str) -> Scoring:
        """Return how a model is scored; raises ToolchainError (exit 2) where the recipe has none."""
        if self.scoring is None:
            raise usage(
                f"the recipe names no task metric, and {why}",
                where=self.where,
                expected="a metric in data.metric",
                found="none",
                fix="name one, or choose options that need none",
            )
        return self.scoring

    def inputs(self, count: int = 1) -> Inputs:
        """Return the first calibration samples, at most `count`: a tensor for each input of the model."""
        batch = self.calibration.batch(0, min(count, len(self.calibration)))
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in batch.values())
