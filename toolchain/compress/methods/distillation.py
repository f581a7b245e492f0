"""Distillation: the model learns what a teacher says beside the labels (Hinton et al. 2015, arXiv:1503.02531).

loss = hard_weight * CE(student, label) + (1 - hard_weight) * T² * KL(teacher / T || student / T)
     + feature_weight * mean over pairs of mean((adapter(student) - teacher)²)     FitNets, Romero et al. 2014, arXiv:1412.6550
     + attention_weight * sum over pairs of mean((q(student) - q(teacher))²)       Zagoruyko & Komodakis 2016, arXiv:1612.03928

q is the sum over the channels of the squared features, as a vector of length 1 over the places.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
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
from toolchain.compress.distillation.teacher import load_teacher, read_teacher_logits, run_on_example
from toolchain.compress.draft import Draft
from toolchain.compress.material import Material
from toolchain.errors import usage
from toolchain.module.fit import Batch, Loss
from toolchain.project.toml_file import Section

SUMMARY = "train with a teacher: its logits, intermediate features, attention maps"
TRAINS = True


class Options(Section):
    """What to learn from the teacher, and how much each part counts."""

    teacher: str
    """The name of a model, or the path of a recipe, relative to the student's."""
    temperature: Annotated[float, Field(gt=0)] = 4.0
    """Softens both distributions; 3 to 5 is what the field uses for ten classes."""
    hard_weight: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of the loss with the labels; the rest is the teacher's logits. 1 leaves them out."""
    features: list[LayerPair] = Field(default_factory=list)
    feature_weight: Annotated[float, Field(gt=0)] = 1.0
    attention: list[LayerPair] = Field(default_factory=list)
    attention_weight: Annotated[float, Field(gt=0)] = 1000.0
    """Of the mean over a map's places, which is small: 10³, as in section 4 of the paper."""
    cache_teacher: bool = True
    """Compute its logits once, for all students; where features or attention are asked for, it runs in every step."""
    from_scratch: bool = False
    """Forget the student's weights first: with hard_weight = 1, the same student trained alone for as long."""


def apply(draft: Draft, options: Options, material: Material) -> None:
    """Train the model with the teacher; its shapes and the names of its weights stay.

    Raises ToolchainError: exit 2 for a teacher of other classes or for other pictures, or a layer that is not there.
    """
    finetune = material.require_finetune("distillation")
    classes = run_on_example(draft.model, material.inputs(), role="student", where=material.where).shape[1]
    if options.from_scratch:
        _check_no_zeros(draft, material)
        initialize_anew(draft.model, seed=finetune.seed, where=material.where)
    if not options.features and not options.attention:
        loss = _learn_from_logits(options, material, classes)
        material.fit(draft, finetune, name="distillation", loss=loss)
        return
    teacher = load_teacher(material, options.teacher, classes=classes)
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
    material.fit(draft, finetune, name="distillation", loss=_learn_from_features(options, teacher), trained=student)


def combine_logits(student: Tensor, teacher: Tensor | None, labels: Tensor, options: Options) -> Tensor:
    """Return the loss of the labels and of the teacher's logits; the logits are `(N, classes)`.

    T² keeps the gradient of the soft part at the size of the hard one's, whatever the temperature (section 2.1).
    """
    student = student.float()
    hard = F.cross_entropy(student, labels)
    if teacher is None:
        return options.hard_weight * hard
    soft = F.kl_div(
        F.log_softmax(student / options.temperature, dim=1),
        F.log_softmax(teacher.float() / options.temperature, dim=1),
        log_target=True,
        reduction="batchmean",
    )
    return options.hard_weight * hard + (1 - options.hard_weight) * options.temperature**2 * soft


def _learn_from_logits(options: Options, material: Material, classes: int) -> Loss:
    if options.hard_weight == 1.0:
        return lambda model, batch: combine_logits(model(batch.images), None, batch.labels, options)
    if options.cache_teacher:
        logits = read_teacher_logits(material, options.teacher, material.take_training(), classes=classes)
        return lambda model, batch: combine_logits(model(batch.images), logits.pick(batch), batch.labels, options)
    teacher = load_teacher(material, options.teacher, classes=classes)
    return lambda model, batch: combine_logits(model(batch.images), _ask(teacher, batch.images), batch.labels, options)


def _learn_from_features(options: Options, teacher: nn.Module) -> Loss:
    names = [pair.teacher for pair in (*options.features, *options.attention)]

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        logits, adapted, features = model(batch.images)
        teacher.to(batch.images.device)
        with torch.inference_mode(), capture(teacher, names) as wanted:
            teacher_logits = teacher(batch.images)
        total = combine_logits(logits, teacher_logits.clone(), batch.labels, options)
        for index, pair in enumerate(options.features):
            part = compare_features(adapted[index], wanted[pair.teacher].clone())
            total = total + options.feature_weight / len(options.features) * part
        for pair in options.attention:
            part = compare_attention(features[pair.student], wanted[pair.teacher].clone())
            total = total + options.attention_weight * part
        return total

    return loss


def _ask(teacher: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = teacher.to(images.device)(images)
    return logits


def _check_no_zeros(draft: Draft, material: Material) -> None:
    if pruned := draft.list_zero_keepers():
        raise usage(
            "from_scratch would undo the pruning before it",
            where=f"{material.where}: from_scratch",
            expected="a model without pruned weights",
            found=f"{pruned[0]} is pruned",
            fix="leave from_scratch out, or put this entry before the pruning",
        )
