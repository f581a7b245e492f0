"""Pruning while the model trains: the share of zeros rises on a cubic curve (Zhu and Gupta 2017, arXiv:1710.01878)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions, select_weighted
from toolchain.compress.material import Material
from toolchain.compress.pruning.thresholds import Scope, count_pruned, count_zeros, prune_below, prune_smallest
from toolchain.errors import usage
from toolchain.module.fit import Hook

SUMMARY = "raise the share of zeros, or the threshold below which weights go, on a cubic curve during training"
TRAINS = True

# The share of zeros moves in steps of half a point: finding the smallest of millions of weights takes as long as a
# step of training, and is not done at each.
_STEP = 0.005


class Options(LayerOptions):
    """Where the curve ends, and when."""

    amount: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of zeros at the end."""
    threshold: Annotated[float, Field(gt=0)] | None = None
    """Or: the magnitude up to which weights are zero at the end."""
    start: Annotated[float, Field(ge=0)] = 0.0
    """The share, or the magnitude, that the curve starts from."""
    begin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of the training after which the curve starts."""
    end: Annotated[float, Field(gt=0, le=1)] = 0.75
    """The share of the training after which it is at its end; the rest wins accuracy back."""
    scope: Scope = "global"
    """Compare magnitudes over all layers, or within each."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.amount is None) == (self.threshold is None):
            raise usage(
                "gradual_pruning is not told how much to prune",
                where="gradual_pruning",
                expected="either amount or threshold",
                found="neither" if self.amount is None else "both",
                fix="write amount = 0.8, for example",
            )
        if self.start >= self.final:
            raise usage(
                "the curve of gradual_pruning does not rise",
                where="gradual_pruning: start",
                expected=f"less than {self.final}",
                found=str(self.start),
                fix="lower start",
            )
        if self.begin >= self.end:
            raise usage(
                "the curve of gradual_pruning ends before it begins",
                where="gradual_pruning: begin",
                expected=f"less than end = {self.end}",
                found=str(self.begin),
                fix="lower begin",
            )
        return self

    @property
    def final(self) -> float:
        """Where the curve ends."""
        return self.threshold or self.amount or 0.0


def find_level(options: Options, done: float) -> float:
    """Return the curve at a share of the training: final + (start - final) * (1 - progress)³."""
    if done < options.begin:
        return 0.0
    progress = min(1.0, (done - options.begin) / (options.end - options.begin))
    return options.final + (options.start - options.final) * (1.0 - progress) ** 3


class GradualHook(Hook):
    """Prunes to the curve before a step, and lets no step bring a pruned weight back.

    Which weights are pruned is seen from the weights: a training that resumes goes on as one that never stopped.
    """

    def __init__(self, weights: Sequence[Tensor], options: Options) -> None:
        self._weights = weights
        self._options = options
        self._masks: list[Tensor] = []

    def before_step(self, done: float) -> None:
        """Prune where the curve has risen by enough since the last time."""
        level = find_level(self._options, done)
        if self._options.threshold is not None:
            if level > 0:
                prune_below(self._weights, level)
        elif self._is_due(level):
            prune_smallest(self._weights, level, self._options.scope)
        self._masks = [weight.detach() != 0 for weight in self._weights]

    def after_step(self, learning_rate: float) -> None:  # noqa: ARG002 - a hook's signature
        """Set what was zero before the step to zero again."""
        for weight, mask in zip(self._weights, self._masks, strict=True):
            weight.mul_(mask)

    def _is_due(self, level: float) -> bool:
        missing = count_pruned(self._weights, level, self._options.scope) - count_zeros(self._weights)
        total = sum(weight.numel() for weight in self._weights)
        return missing >= _STEP * total or (missing > 0 and level == self._options.final)


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Train with the entry's finetune while pruning; the zeros stay in every training after it."""
    layers = select_weighted(draft.model, options, method="gradual_pruning")
    weights = [layer.weight for layer in layers.values()]
    settings = material.require_finetune("gradual_pruning")
    material.fit(draft, settings, name="gradual_pruning", hooks=[GradualHook(weights, options)])
    # In a training of few steps the last one may lie before the end of the curve.
    with torch.no_grad():
        if options.threshold is not None:
            prune_below(weights, options.threshold)
        elif options.amount is not None:
            prune_smallest(weights, options.amount, options.scope)
    for name, layer in layers.items():
        if not layer.weight.any():
            raise usage(
                f"gradual_pruning leaves nothing of {name}",
                where="gradual_pruning: " + ("amount" if options.threshold is None else "threshold"),
                expected="a layer with weights that are not zero",
                found=f"all {layer.weight.numel()} zero",
                fix=f'lower it, take scope = "layer", or skip = ["{name}"]',
            )
        draft.keep_zeros(name)
    return layers
