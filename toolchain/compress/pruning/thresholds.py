"""The weights of least magnitude, as thresholds below which weights become zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Scope = Literal["global", "layer"]


def prune_smallest(weights: Sequence[Tensor], amount: float, scope: Scope) -> None:
    """Set this share of the weights, those of least magnitude, to zero in place: of all, or of each tensor.

    Zeros are of least magnitude, so that what is zero stays so. Where several have the magnitude at the border, all of
    them go.
    """
    for part in _split(weights, scope):
        magnitudes = np.concatenate([weight.detach().abs().flatten().float().cpu().numpy() for weight in part])
        count = round(amount * magnitudes.size)
        if count:
            # Selection in linear time; sorting millions of weights at every step of a training would cost more than it.
            prune_below(part, float(np.partition(magnitudes, count - 1)[count - 1]))


def count_pruned(weights: Sequence[Tensor], amount: float, scope: Scope) -> int:
    """Return how many weights prune_smallest sets to zero at least."""
    return sum(round(amount * sum(weight.numel() for weight in part)) for part in _split(weights, scope))


def _split(weights: Sequence[Tensor], scope: Scope) -> list[Sequence[Tensor]]:
    return [weights] if scope == "global" else [[weight] for weight in weights]


@torch.no_grad()
def prune_below(weights: Sequence[Tensor], threshold: float) -> None:
    """Set the weights up to this magnitude to zero, in place."""
    for weight in weights:
        weight.masked_fill_(weight.abs() <= threshold, 0.0)


def count_zeros(weights: Sequence[Tensor]) -> int:
    """Return how many weights are zero."""
    return sum(int((weight == 0).sum()) for weight in weights)
