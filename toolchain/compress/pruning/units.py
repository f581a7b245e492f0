"""Which channels go: the least important ones, in units that leave counts the target computes well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from toolchain.compress.draft import Draft
from toolchain.compress.equality import check_equal
from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs
from toolchain.compress.pruning.channels import ChannelGroup
from toolchain.compress.pruning.macs import count_macs
from toolchain.compress.pruning.removal import prune_copy
from toolchain.errors import usage

Scope = Literal["global", "layer"]


@dataclass(frozen=True)
class Unit:
    """Channels of one group that go at once, after the units before it."""

    group: ChannelGroup
    channels: tuple[int, ...]
    score: float
    """The mean importance of its channels."""
    score_max: float
    share: float
    """The share of the group's channels that is gone with it and those before it."""


def list_units(
    groups: Sequence[ChannelGroup], scores: Sequence[Tensor], *, round_to: int, amount_max: float, scope: Scope
) -> list[Unit]:
    """Return the units of all groups in the order in which they go.

    After each of them its group has a multiple of round_to channels, and never none.

    Args:
        groups: Of the model.
        scores: The importance of each group's channels `(channels,)`.
        round_to: The divisor of what is left.
        amount_max: The share of its channels that a group can lose.
        scope: "global" orders by importance; "layer" by share, so that all groups get narrower together.
    """
    units: list[Unit] = []
    for group, score in zip(groups, scores, strict=True):
        slots = group.slots
        by_slot = score.reshape(group.sections, slots).mean(dim=0)
        order = torch.argsort(by_slot, stable=True)
        step = round_to // math.gcd(round_to, group.sections)
        start, stop = 0, slots % step or step
        while slots - stop >= step and stop / slots <= amount_max:
            mine = order[start:stop]
            channels = sorted(group.list_channels(mine.tolist()))
            own = by_slot[mine]
            units.append(Unit(group, tuple(channels), float(own.mean()), float(own.max()), stop / slots))
            start, stop = stop, stop + step
    # Sorting is stable: the units of one group keep their order, as both keys rise within it.
    return sorted(units, key=lambda unit: unit.score if scope == "global" else unit.share)


def take_amount(units: Sequence[Unit], groups: Sequence[ChannelGroup], amount: float, scope: Scope) -> list[Unit]:
    """Return the units that together are at most this share of the channels: of all, or of each group."""
    if scope == "layer":
        return [unit for unit in units if unit.share <= amount]
    left = amount * sum(group.channels for group in groups)
    taken: list[Unit] = []
    for unit in units:
        if len(unit.channels) > left:
            break
        taken.append(unit)
        left -= len(unit.channels)
    return taken


def take_until(units: Sequence[Unit], is_enough: Callable[[Sequence[Unit]], bool]) -> list[Unit] | None:
    """Return the fewest of the first units that are enough; None where all of them are not."""
    if not is_enough(units):
        return None
    low, high = 0, len(units)
    while low < high:
        middle = (low + high) // 2
        if is_enough(units[:middle]):
            high = middle
        else:
            low = middle + 1
    return list(units[:low])


def merge_units(units: Sequence[Unit]) -> dict[str, list[int]]:
    """Return the channels that go, by the root layer of their group."""
    removed: dict[str, list[int]] = {}
    for unit in units:
        removed.setdefault(unit.group.root, []).extend(unit.channels)
    return removed


def measure_macs(model: nn.Module, inputs: Inputs, removed: Mapping[str, Sequence[int]], *, method: str) -> int:
    """Return the multiply-accumulates that are left without these channels, counted on a copy that runs."""
    return count_macs(prune_copy(model, inputs, removed, method=method), inputs)


def check_zeros(draft: Draft, taken: Sequence[Unit], material: Material, *, method: str) -> None:
    """Refuse (exit 18) to remove channels that are zero, where the outputs depend on them nevertheless."""
    zeros = merge_units([unit for unit in taken if unit.score_max == 0])
    if zeros:
        without = prune_copy(draft.model, material.inputs(), zeros, method=method)
        names = ", ".join(zeros)
        check_equal(draft.model, without, material, step=f"{method}: removing the channels of {names} that are zero")


def take_zeros(units: Sequence[Unit], groups: Sequence[ChannelGroup], amount_min: float, *, method: str) -> list[Unit]:
    """Return the units that are all zero, and more from the smallest on until this share of the channels goes.

    Units ordered by importance. Raises ToolchainError (exit 2) where that is nothing, or where too few may go.
    """
    total = sum(group.channels for group in groups)
    taken = [unit for unit in units if unit.score_max == 0]
    gone = sum(len(unit.channels) for unit in taken)
    for unit in units[len(taken) :]:
        if gone >= amount_min * total:
            break
        taken.append(unit)
        gone += len(unit.channels)
    if not taken or gone < amount_min * total:
        zeros = sum(len(unit.channels) for unit in units if unit.score_max == 0)
        raise usage(
            f"{method} has too few channels to remove",
            where=", ".join(group.root for group in groups),
            expected=f"at least {max(1, math.ceil(amount_min * total))} of {total}",
            found=f"{gone}; {zeros} reached zero in whole units",
            fix="raise strength or the epochs of sparsify, lower round_to, or raise amount_min to remove the smallest",
        )
    return taken
