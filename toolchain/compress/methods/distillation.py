"""Distillation: the model learns what a teacher says beside the labels (Hinton et al. 2015, arXiv:1503.02531).

loss = hard_weight * the task's own(student, targets) + (1 - hard_weight) * soft(student, teacher)
     + feature_weight * mean over pairs of mean((adapter(student) - teacher)²)     FitNets, Romero et al. 2014, arXiv:1412.6550
     + attention_weight * sum over pairs of mean((q(student) - q(teacher))²)       Zagoruyko & Komodakis 2016, arXiv:1612.03928

soft is T² * KL(teacher / T || student / T) for scores of classes (soft_targets.py has the others).
q is the sum over the channels of the squared features, as a vector of length 1 over the places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from toolchain.compress.distillation.features import (
    Adapted,
    LayerPair,
    capture,
    compare_attention,
    compare_features,
    make_adapters,
)
from toolchain.compress.distillation.initialize import initialize_anew
from toolchain.compress.distillation.soft_targets import compare_outputs
from toolchain.compress.distillation.teacher import find_shapes, is_kept, load_teacher, read_teacher_outputs
from toolchain.compress.draft import Draft
from toolchain.compress.material import Material
from toolchain.errors import usage
from toolchain.module.fit import Batch, Loss
from toolchain.module.forward import name_outputs
from toolchain.module.objective import Objective
from toolchain.project.toml_file import Section

SUMMARY = "train with a teacher: its outputs, intermediate features, attention maps"
TRAINS = True


class Options(Section):
    """What to learn from the teacher, and how much each part counts."""

    teacher: str
    """The name of a model, or the path of a recipe, relative to the student's."""
    temperature: Annotated[float, Field(gt=0)] = 4.0
    """Softens both distributions; 3 to 5 is what the field uses for ten classes."""
    hard_weight: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of the task's own loss; the rest is the teacher's outputs. 1 leaves the teacher out, 0 the targets."""
    features: list[LayerPair] = Field(default_factory=list)
    feature_weight: Annotated[float, Field(gt=0)] = 1.0
    attention: list[LayerPair] = Field(default_factory=list)
    attention_weight: Annotated[float, Field(gt=0)] = 1000.0
    """Of the mean over a map's places, which is small: 10³, as in section 4 of the paper."""
    cache_teacher: bool = True
    """Compute its scores of classes once, for all students; other outputs, features and attention in every step."""
    from_scratch: bool = False
    """Forget the student's weights first: with hard_weight = 1, the same student trained alone for as long."""


def apply(draft: Draft, options: Options, material: Material) -> None:
    """Train the model with the teacher; its shapes and the names of its weights stay.

    Without hard_weight no target is read, and what is learned from may be the calibration samples.

    Raises ToolchainError: exit 2 for a teacher of other outputs or for other inputs, or a layer that is not there.
    """
    finetune = material.require_finetune("distillation")
    shapes = find_shapes(draft.model, material.inputs(), role="student", where=material.where)
    if options.from_scratch:
        _check_no_zeros(draft, material)
        initialize_anew(draft.model, seed=finetune.seed, where=material.where)
    targets = material.objective.targets if options.hard_weight else ()
    if not options.features and not options.attention:
        loss = _learn_from_outputs(options, material, shapes, targets)
        material.fit(draft, finetune, name="distillation", loss=loss, targets=targets)
        return
    teacher = load_teacher(material, options.teacher, shapes=shapes)
    adapters = make_adapters(
        draft.model,
        teacher,
        material.inputs(),
        options.features,
        options.attention,
        seed=finetune.seed,
        where=material.where,
    )
    student = Adapted(draft.model, [pair.student for pair in (*options.features, *options.attention)], adapters)
    loss = _learn_from_features(options, material, teacher)
    material.fit(draft, finetune, name="distillation", loss=loss, targets=targets, trained=student)


def combine(
    student: Mapping[str, Tensor],
    teacher: Mapping[str, Tensor] | None,
    batch: Batch,
    options: Options,
    objective: Objective,
) -> Tensor:
    """Return the loss of the targets and of the teacher's outputs, both by name; None leaves the teacher out."""
    hard: Tensor | float = 0.0
    if options.hard_weight:
        hard = options.hard_weight * objective.loss(student, batch.targets)
    if teacher is None:
        return torch.as_tensor(hard)
    soft = compare_outputs(student, teacher, class_axis=objective.task.CLASS_AXIS, temperature=options.temperature)
    return hard + (1 - options.hard_weight) * soft


def _learn_from_outputs(
    options: Options, material: Material, shapes: Mapping[str, tuple[int, ...]], targets: Sequence[str]
) -> Loss:
    if options.hard_weight == 1.0:
        return lambda model, batch: combine(batch.run(model), None, batch, options, material.objective)
    if options.cache_teacher and is_kept(shapes, material):
        kept = read_teacher_outputs(material, options.teacher, material.take_training(targets), shapes=shapes)
        return lambda model, batch: combine(batch.run(model), kept.pick(batch), batch, options, material.objective)
    teacher = load_teacher(material, options.teacher, shapes=shapes)
    return lambda model, batch: combine(batch.run(model), _ask(teacher, batch), batch, options, material.objective)


def _learn_from_features(options: Options, material: Material, teacher: nn.Module) -> Loss:
    names = [pair.teacher for pair in (*options.features, *options.attention)]

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        result, adapted, features = batch.call(model)
        with capture(teacher, names) as wanted:
            theirs = _ask(teacher, batch)
        total = combine(name_outputs(result), theirs, batch, options, material.objective)
        for index, pair in enumerate(options.features):
            part = compare_features(adapted[index], wanted[pair.teacher].clone())
            total = total + options.feature_weight / len(options.features) * part
        for pair in options.attention:
            part = compare_attention(features[pair.student], wanted[pair.teacher].clone())
            total = total + options.attention_weight * part
        return total

    return loss


def _ask(teacher: nn.Module, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        return batch.run(teacher.to(batch.images.device))


def _check_no_zeros(draft: Draft, material: Material) -> None:
    if pruned := draft.list_zero_keepers():
        raise usage(
            "from_scratch would undo the pruning before it",
            where=f"{material.where}: from_scratch",
            expected="a model without pruned weights",
            found=f"{pruned[0]} is pruned",
            fix="leave from_scratch out, or put this entry before the pruning",
        )
