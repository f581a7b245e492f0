"""Structured pruning: whole channels and residual blocks go, with all that depends on them (docs/compression/pruning.md).

Dependencies by Torch-Pruning (Fang et al. 2023, arXiv:2301.12900).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import nn

from toolchain.compress.draft import Draft
from toolchain.compress.layers import WEIGHTED, LayerOptions
from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs
from toolchain.compress.pruning.blocks import find_blocks, remove_least_blocks
from toolchain.compress.pruning.channels import find_channel_groups
from toolchain.compress.pruning.importance import Importance, score_channels
from toolchain.compress.pruning.macs import count_macs
from toolchain.compress.pruning.removal import remove_channels
from toolchain.compress.pruning.units import Scope, Unit, list_units, measure_macs, merge_units, take_amount, take_until
from toolchain.errors import usage

SUMMARY = "remove the least important channels, filters and residual blocks, so that every runtime has less to do"
TRAINS = False

_METHOD = "structured_pruning"
_BLOCK_PICTURES = 64  # to see how much an output depends on a block


class Options(LayerOptions):
    """How much goes, and by which measure."""

    macs_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Remove the fewest channels that leave at most this share of the multiply-accumulates."""
    amount: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Or: remove at most this share of the channels."""
    blocks: Annotated[int, Field(ge=0)] = 0
    """How many residual blocks go, before any channel does."""
    importance: Importance = "l2"
    scope: Scope = "global"
    """Compare channels over the whole model, or let every group of layers lose the same share."""
    round_to: Annotated[int, Field(ge=1)] = 8
    """What is left of a layer is a multiple of this."""
    amount_max: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The share of its channels that no layer loses more of."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [key for key in ("macs_ratio", "amount") if getattr(self, key) is not None]
        if len(given) == 2 or not (given or self.blocks):
            raise usage(
                f"{_METHOD} is not told how much to remove",
                where=_METHOD,
                expected="either macs_ratio or amount, or blocks",
                found=" and ".join(given) or "none of them",
                fix="write macs_ratio = 0.5, for example",
            )
        return self


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Remove blocks first, then channels; macs_ratio is of the model before either."""
    inputs = material.inputs()
    macs_before = count_macs(draft.model, inputs)
    worked_on: set[str] = set()
    if options.blocks:
        samples = material.inputs(_BLOCK_PICTURES)
        blocks = find_blocks(draft.model, samples, options, method=_METHOD)
        worked_on.update(layer for block in blocks for layer in block.layers)
        remove_least_blocks(draft, blocks, options.blocks, samples, method=_METHOD)
    if options.macs_ratio is None and options.amount is None:
        return worked_on
    groups = find_channel_groups(draft, inputs, options, method=_METHOD, kinds=WEIGHTED)
    scores = score_channels(draft.model, groups, options.importance, material)
    units = list_units(groups, scores, round_to=options.round_to, amount_max=options.amount_max, scope=options.scope)
    if options.amount is not None:
        taken = take_amount(units, groups, options.amount, options.scope)
        if not taken:
            raise usage(
                f"{_METHOD} would remove nothing",
                where=f"{_METHOD}: amount",
                expected=f"at least {options.round_to} channels of one of {', '.join(group.root for group in groups)}",
                found=str(options.amount),
                fix="raise amount, or lower round_to",
            )
    else:
        taken = _take_to_macs(draft.model, inputs, units, options, macs_before)
    remove_channels(draft, inputs, merge_units(taken), method=_METHOD)
    return worked_on.union(*(group.list_modules() for group in groups))


def _take_to_macs(
    model: nn.Module, inputs: Inputs, units: list[Unit], options: Options, macs_before: int
) -> list[Unit]:
    target = (options.macs_ratio or 1.0) * macs_before

    def measure(some: list[Unit]) -> int:
        return measure_macs(model, inputs, merge_units(some), method=_METHOD)

    taken = take_until(units, lambda some: measure(list(some)) <= target)
    if taken is None:
        raise usage(
            f"{_METHOD} cannot get that few multiply-accumulates",
            where=f"{_METHOD}: macs_ratio",
            expected=f"at least {measure(units) / macs_before:.3f}, with everything gone that may go",
            found=str(options.macs_ratio),
            fix="raise macs_ratio or amount_max, lower round_to, or skip fewer layers",
        )
    return taken
