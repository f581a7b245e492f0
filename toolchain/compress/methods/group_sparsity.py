"""Group lasso: training decides which neurons and residual blocks go (Wen et al. 2016, arXiv:1608.03665).

A neuron of a fully connected layer is a group: its weights and its bias. A residual block is one: what scales the last
step of each of its branches, such as the scale and shift of its last normalization; once zero, the block returns its
input.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from toolchain.compress.draft import Draft
from toolchain.compress.equality import must_stay_equal
from toolchain.compress.layers import LayerOptions
from toolchain.compress.material import Material
from toolchain.compress.pruning.blocks import Block, find_blocks
from toolchain.compress.pruning.channels import BatchNorm, ChannelGroup, find_channel_groups
from toolchain.compress.pruning.proximal import Lasso, LassoHook, Slice, refuse_frozen, slice_all
from toolchain.compress.pruning.removal import remove_channels
from toolchain.compress.pruning.units import check_zeros, list_units, merge_units, take_zeros
from toolchain.errors import ToolchainError, usage
from toolchain.project.compress_entry import FinetuneSection

SUMMARY = (
    "learn which neurons of fully connected layers and which residual blocks may go (group lasso), then remove them"
)
TRAINS = False  # by `sparsify`; finetune follows it

_METHOD = "group_sparsity"


class Options(LayerOptions):
    """What the groups are, and how hard to push."""

    sparsify: FinetuneSection
    """The training that pushes groups to zero."""
    neurons: bool = False
    """Remove neurons of fully connected layers."""
    blocks: bool = False
    """Remove residual blocks."""
    strength: Annotated[float, Field(gt=0)] = 1e-3
    """The weight of the norms beside the loss: a group of k parameters shrinks by strength * learning rate * sqrt(k)."""
    blocks_min: Annotated[int, Field(ge=0)] = 0
    """Where fewer blocks reached zero, those with the smallest norms go too."""
    amount_min: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Where fewer neurons than this share reached zero, those with the smallest norms go too."""
    amount_max: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The share of its neurons that no layer loses more of."""
    round_to: Annotated[int, Field(ge=1)] = 8
    """What is left of a layer is a multiple of this: some neurons that are zero may stay."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.neurons or self.blocks):
            raise usage(
                f"{_METHOD} is not told what its groups are",
                where=_METHOD,
                expected="neurons = true, or blocks = true, or both",
                found="neither",
                fix="write blocks = true, for example",
            )
        return self


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Train with the penalty, then remove the blocks and the neurons that are zero."""
    inputs = material.inputs()
    blocks = find_blocks(draft.model, inputs, options, method=_METHOD) if options.blocks else []
    _check_count(blocks, options)
    block_lassos = [_gather_gates(draft.model, block) for block in blocks]
    groups: list[ChannelGroup] = []
    if options.neurons:
        groups = find_channel_groups(draft, inputs, options, method=_METHOD, kinds=(nn.Linear,), check=_check_neurons)
    neuron_lassos = [_gather_neurons(group) for group in groups]
    named = [*(f"{block.name}.*" for block in blocks), *(group.root for group in groups)]
    refuse_frozen(dict(zip(named, [*block_lassos, *neuron_lassos], strict=True)), method=_METHOD)
    hook = LassoHook([*block_lassos, *neuron_lassos], options.strength)
    material.fit(draft, options.sparsify, name="sparsify", hooks=[hook])

    norms = [float((lasso.measure() / lasso.sizes.sqrt()).item()) for lasso in block_lassos]
    scores = [lasso.measure() / lasso.sizes.sqrt() for lasso in neuron_lassos]
    if blocks:
        _remove_blocks(draft, blocks, norms, options.blocks_min, material)
    if groups:
        units = list_units(groups, scores, round_to=options.round_to, amount_max=options.amount_max, scope="global")
        taken = take_zeros(units, groups, options.amount_min, method=_METHOD)
        check_zeros(draft, taken, material, method=_METHOD)
        remove_channels(draft, inputs, merge_units(taken), method=_METHOD)
    inside = {layer for block in blocks for layer in block.layers}
    return inside.union(*(group.list_modules() for group in groups))


def _check_count(blocks: list[Block], options: Options) -> None:
    if options.blocks_min > len(blocks):
        raise usage(
            f"{_METHOD} finds fewer blocks than it is to remove",
            where=f"{_METHOD}: blocks_min",
            expected=f"at most {len(blocks)}" + (f": {', '.join(block.name for block in blocks)}" if blocks else ""),
            found=str(options.blocks_min),
            fix="lower blocks_min" if options.blocks else "write blocks = true beside it",
        )


def _remove_blocks(draft: Draft, blocks: list[Block], norms: list[float], count_min: int, material: Material) -> None:
    order = sorted(range(len(blocks)), key=lambda index: norms[index])
    gone = [index for place, index in enumerate(order) if norms[index] == 0 or place < count_min]
    if not gone:
        raise usage(
            f"no block reached zero in {_METHOD}",
            where=", ".join(block.name for block in blocks),
            expected="at least one",
            found=", ".join(f"{norms[index]:.3g}" for index in range(len(blocks))) + " per parameter",
            fix="raise strength or the epochs of sparsify, or write blocks_min = 1 to remove the smallest",
        )
    zeros = [blocks[index].name for index in gone if norms[index] == 0]
    if zeros:
        with must_stay_equal(draft, material, step=f"{_METHOD}: removing the blocks {', '.join(zeros)} that are zero"):
            for name in zeros:
                draft.remove(name)
    for index in gone:
        if norms[index] > 0:
            draft.remove(blocks[index].name)


def _gather_gates(model: nn.Module, block: Block) -> Lasso:
    gates = [model.get_submodule(gate) for gate in block.gates]
    return Lasso(1, tuple(slice_all(parameter) for gate in gates for parameter in gate.parameters(recurse=False)))


def _check_neurons(group: ChannelGroup) -> ToolchainError | None:
    """Return the error for a module whose neurons are not all that a zero needs.

    Such are a convolution's channels, and a layer normalization, whose mean counts every neuron.
    """
    for member in group.members:
        if isinstance(member.module, nn.Linear | BatchNorm) or not isinstance(member.module, nn.Module):
            continue
        if any(True for _ in member.module.parameters()):
            return usage(
                f"{_METHOD} cannot learn which neurons of {group.root} go, because {member.name} has them too",
                where=f"{_METHOD}: layers",
                expected="fully connected layers and batch normalizations",
                found=f"{member.name}, a {type(member.module).__name__}",
                fix=f'skip = ["{group.root}"]',
            )
    return None


def _gather_neurons(group: ChannelGroup) -> Lasso:
    """Return the weights, biases, scales and shifts that write each neuron."""
    slices: list[Slice] = []
    for member in group.members:
        if isinstance(member.module, nn.Linear | BatchNorm) and member.is_output:
            roots = torch.tensor(member.roots)
            for parameter in member.module.parameters(recurse=False):
                rows: Tensor = torch.tensor(member.indices, device=parameter.device)
                slices.append(Slice(parameter, rows, roots))
    return Lasso(count=group.channels, slices=tuple(slices))
