"""Segmentation: a class for each place of a picture, by the cross entropy of its scores and the overlap of the masks.

loss = cross_entropy_weight * CE + dice_weight * (1 - mean over the classes of 2 |A ∩ B| / (|A| + |B|)), the second with
probabilities in the place of the answer (V-Net, Milletari et al. 2016, arXiv:1606.04797).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "a class for each place of a picture"
METRIC = "miou"
MASK = "mask"
TARGETS = (MASK,)
DECODER = "argmax_mask"
CLASS_AXIS = 1
MOVES: Mapping[str, str] = {MASK: "mask"}

# Samples are checked in parts of so many, as masks may lie on a disk.
_CHECKED = 64


class Options(Section):
    """How both parts count, and which places do not."""

    cross_entropy_weight: Annotated[float, Field(ge=0)] = 1.0
    dice_weight: Annotated[float, Field(ge=0)] = 1.0
    ignore_index: int = 255
    """The class number of places that are nothing's: neither learnt nor measured."""


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    del options
    return {}


def make_loss(options: Options) -> TaskLoss:
    """Return the loss of the first output, scores `(N, classes, H, W)`, against class numbers `(N, H, W)`."""
    import torch
    import torch.nn.functional as F

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, scores = take_first(outputs)
        mask = torch.as_tensor(targets[MASK]).long()
        known = mask != options.ignore_index
        entropy = F.cross_entropy(scores, mask, ignore_index=options.ignore_index, reduction="sum")
        entropy = entropy / known.sum().clamp(min=1)
        if not options.dice_weight:
            return options.cross_entropy_weight * entropy
        wanted = F.one_hot(mask.where(known, 0), scores.shape[1]).movedim(-1, 1) * known[:, None]
        likely = scores.softmax(dim=1) * known[:, None]
        places = (0, *range(2, scores.ndim))
        both, total = (wanted * likely).sum(places), (wanted + likely).sum(places)
        there = wanted.sum(places) > 0  # of a class that no sample of the batch has, nothing overlaps
        dice = (2 * both[there] / total[there]).mean() if bool(there.any()) else likely.new_ones(())
        return options.cross_entropy_weight * entropy + options.dice_weight * (1 - dice)

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) masks of another size than the first output's, and class numbers that it has no score for."""
    del classes
    _, scores = take_first(outputs)
    masks = samples.targets[MASK]
    if isinstance(masks, Ragged) or scores.ndim < 3 or masks.shape[1:] != scores.shape[2:]:
        shape = "of another size each" if isinstance(masks, Ragged) else str(masks.shape[1:])
        raise refuse_first("segmentation", outputs, f"(N, classes, H, W) of the masks' size, which is {shape}")
    for start in range(0, len(samples), _CHECKED):
        part = np.asarray(masks[start : start + _CHECKED])
        wrong = (part != options.ignore_index) & ((part < 0) | (part >= scores.shape[1]))
        for index in np.flatnonzero(wrong.reshape(len(part), -1).any(axis=1))[:1]:
            raise usage(
                "a mask has a class that is none of the model's",
                where=f"{where}: {name_sample(samples, start + int(index))}",
                expected=f"0 to {scores.shape[1] - 1}, or {options.ignore_index} for what is nothing's",
                found=str(part[index][wrong[index]].flat[0]),
                fix="correct the mask, or bring a model with an output for every class",
            )
