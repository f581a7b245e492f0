"""Network slimming: the L1 norm of batch-norm scales decides in training which channels go (arXiv:1708.06519).

Liu et al. 2017. A channel that several normalizations scale, as around a shortcut, has one group of scales, which reach
zero together. A channel whose scale is zero loses its shift too, so that removing it changes no output.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import torch
from pydantic import Field

from toolchain.compress.draft import Draft
from toolchain.compress.layers import WEIGHTED, LayerOptions
from toolchain.compress.material import Material
from toolchain.compress.pruning.channels import BatchNorm, ChannelGroup, Member, find_channel_groups
from toolchain.compress.pruning.proximal import Lasso, LassoHook, Slice, refuse_frozen
from toolchain.compress.pruning.removal import remove_channels
from toolchain.compress.pruning.units import check_zeros, list_units, merge_units, take_zeros
from toolchain.errors import ToolchainError, usage
from toolchain.project.compress_entry import FinetuneSection

SUMMARY = "learn which channels batch normalization may scale to zero (L1), then remove them"
TRAINS = False  # by `sparsify`; finetune follows it

_METHOD = "channel_sparsity"


class Options(LayerOptions):
    """How hard to push, and what has to go at least."""

    sparsify: FinetuneSection
    """The training that pushes the scales to zero."""
    strength: Annotated[float, Field(gt=0)] = 1e-3
    """The weight of the L1 norm beside the loss: a scale shrinks by strength * learning rate in every step."""
    amount_min: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Where fewer channels than this share reached zero, those with the smallest scales go too."""
    amount_max: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The share of its channels that no layer loses more of."""
    round_to: Annotated[int, Field(ge=1)] = 8
    """What is left of a layer is a multiple of this: some channels with a scale of zero may stay."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Train with the penalty, then remove the channels whose scales are zero."""
    inputs = material.inputs()
    groups = find_channel_groups(draft, inputs, options, method=_METHOD, kinds=WEIGHTED, check=_check_scales)
    lassos = [_gather_scales(group) for group in groups]
    refuse_frozen({group.root: lasso for group, lasso in zip(groups, lassos, strict=True)}, method=_METHOD)
    material.fit(draft, options.sparsify, name="sparsify", hooks=[LassoHook(lassos, options.strength)])
    scores = [lasso.measure() / lasso.sizes.sqrt() for lasso in lassos]
    units = list_units(groups, scores, round_to=options.round_to, amount_max=options.amount_max, scope="global")
    taken = take_zeros(units, groups, options.amount_min, method=_METHOD)
    check_zeros(draft, taken, material, method=_METHOD)
    remove_channels(draft, inputs, merge_units(taken), method=_METHOD)
    return set().union(*(group.list_modules() for group in groups))


def _list_norms(group: ChannelGroup) -> list[Member]:
    return [member for member in group.members if isinstance(member.module, BatchNorm) and member.module.affine]


def _check_scales(group: ChannelGroup) -> ToolchainError | None:
    if (found := len(_list_norms(group))) >= len(group.layers):
        return None
    return usage(
        f"{_METHOD} finds no scale for every layer that writes the channels of {group.root}",
        where=f"{_METHOD}: layers",
        expected="a batch normalization behind each of them",
        found=f"{found} scales for {len(group.layers)} layers",
        fix=f'skip = ["{group.root}"]',
    )


def _gather_scales(group: ChannelGroup) -> Lasso:
    """Return the scales of a group's channels, those at the same place of every section together."""
    norms = _list_norms(group)
    return Lasso(
        count=group.channels,
        slices=tuple(_slice(member, "weight") for member in norms),
        followers=tuple(_slice(member, "bias") for member in norms),
    )


def _slice(member: Member, key: str) -> Slice:
    parameter = getattr(member.module, key)
    return Slice(parameter, torch.tensor(member.indices, device=parameter.device), torch.tensor(member.roots))
