"""Channels that can only go together, found by Torch-Pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch_pruning
from torch import nn
from torch_pruning import ops

from toolchain.compress.layers import Layer, LayerOptions, list_ties, select_layers
from toolchain.compress.outputs import Inputs
from toolchain.compress.pruning.dependencies import FAILURES, build_graph, explain_failure
from toolchain.errors import usage

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d

# Whose smaller shapes a weights file gives back (toolchain/module/structure.py).
_SERVED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)


@dataclass(frozen=True)
class Member:
    """A module of a group, and which of its channels belong to which of the group's."""

    name: str
    module: nn.Module | nn.Parameter
    is_output: bool
    """Whether its outputs are meant; of a normalization both are."""
    indices: Sequence[int]
    """Along the module's own axis."""
    roots: Sequence[int]
    """For each of them, the channel of the group."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels of a model that can only be removed together, such as those of all layers around a shortcut."""

    root: str
    """The layer whose outputs number the channels."""
    layers: tuple[str, ...]
    """Every convolution and linear layer with these outputs."""
    channels: int
    sections: int
    """Into how many equal sections the channels fall, of which each loses the same: those of a grouped convolution."""
    is_output: bool
    """Whether the model's outputs are among them, which never go."""
    members: tuple[Member, ...]
    dependencies: torch_pruning.Group
    """All channels, as Torch-Pruning's importances take them."""

    @property
    def slots(self) -> int:
        """How many channels a section has."""
        return self.channels // self.sections

    def list_modules(self) -> set[str]:
        """Return the names of everything that loses something with the channels: layers, readers, normalizations."""
        return {member.name for member in self.members}

    def list_channels(self, slots: Sequence[int]) -> list[int]:
        """Return the channels at these places of every section."""
        return [section * self.slots + slot for section in range(self.sections) for slot in slots]


def find_channel_groups(
    model: nn.Module, inputs: Inputs, options: LayerOptions, *, method: str, kinds: tuple[type[nn.Module], ...]
) -> list[ChannelGroup]:
    """Return the groups of channels that the options name and that may go: never the model's outputs.

    A skipped layer keeps its whole group. kinds: the layers whose outputs are meant.

    Raises ToolchainError (exit 2) that names the layer: one that is bound to a layer that `layers` does not name, to
    attention heads or to another module that cannot lose channels; and where nothing is left.
    """
    graph = build_graph(model, inputs, method=method)
    named = set(select_layers(model, LayerOptions(layers=options.layers), method=method))
    skipped = named - set(select_layers(model, options, method=method))
    try:
        every = [_describe(model, graph, dependencies) for dependencies in graph.get_all_groups()]
    except FAILURES as error:
        raise explain_failure(model, error, method) from error
    meant = [
        group
        for group in every
        if any(isinstance(model.get_submodule(name), kinds) for name in group.layers)
        and named.intersection(group.layers)
        and not skipped.intersection(group.layers)
    ]
    groups = [group for group in meant if not group.is_output]
    tied = {name.rpartition(".")[0] for tie in list_ties(model) for name in tie}
    for group in groups:
        _refuse_unnamed(group, named, method=method)
        _refuse_bound(group, every, tied, method=method)
    if not groups:
        raise usage(
            f"{method} finds no channels to remove",
            where=method,
            expected=f"a {' or '.join(kind.__name__ for kind in kinds)} that is not the model's output",
            found=", ".join(name for group in meant for name in group.layers) or "none",
            fix="correct layers and skip, or leave the method out of the recipe",
        )
    return groups


def _describe(
    model: nn.Module, graph: torch_pruning.DependencyGraph, dependencies: torch_pruning.Group
) -> ChannelGroup:
    names = {module: name for name, module in model.named_modules()}
    members: list[Member] = []
    layers: list[str] = []
    sections = 1
    is_output = False
    for item in dependencies.items:
        node, gives = item.dep.target, bool(graph.is_out_channel_pruning_fn(item.dep.handler))
        # Where nothing reads these channels any more, they are the model's outputs.
        is_output |= gives and not node.outputs
        name = graph._param_to_name[node.module] if node.type == ops.OPTYPE.PARAMETER else names.get(node.module)
        if name is None:
            continue  # an operation between two modules
        members.append(Member(name, node.module, gives, tuple(item.idxs), tuple(item.root_idxs)))
        if isinstance(node.module, Layer) and gives and name not in layers:
            layers.append(name)
        if isinstance(node.module, nn.Conv2d) and node.type != ops.OPTYPE.DEPTHWISE_CONV:
            sections = math.lcm(sections, node.module.groups)
    return ChannelGroup(
        root=names[dependencies[0].dep.target.module],
        layers=tuple(layers),
        channels=len(dependencies[0].idxs),
        sections=sections,
        is_output=is_output,
        members=tuple(members),
        dependencies=dependencies,
    )


def _refuse_unnamed(group: ChannelGroup, named: set[str], *, method: str) -> None:
    unnamed = [name for name in group.layers if name not in named]
    if unnamed:
        raise usage(
            f"{method} can remove these channels only from all layers that share them",
            where=f"{method}: layers",
            expected=f"also {', '.join(unnamed)}",
            found=", ".join(name for name in group.layers if name in named),
            fix="name all of them, or none",
        )


def _refuse_bound(group: ChannelGroup, every: Sequence[ChannelGroup], tied: Collection[str], *, method: str) -> None:
    member = _find_unserved(group, tied)
    if member is not None:
        free = [other.root for other in every if not other.is_output and _find_unserved(other, tied) is None]
        names = ", ".join(f'"{name}"' for name in group.layers)
        raise usage(
            f"{method} cannot remove the channels of {group.root}, because {member.name} has them too",
            where=f"{method}: layers",
            expected="channels of convolutions, linear layers, batch and layer normalizations",
            found=f"{member.name}, a {type(member.module).__name__}"
            + (" whose weight another layer has too" if member.name in tied else ""),
            fix=f"skip = [{names}]" + (f" leaves {', '.join(free)}" if free else ""),
        )


def _find_unserved(group: ChannelGroup, tied: Collection[str]) -> Member | None:
    """Return the first member with parameters that cannot lose channels: attention heads, a shared or bare parameter."""
    for member in group.members:
        if member.name in tied:
            return member
        # Of a grouped transposed convolution, no part of the weights would say how many groups it lost.
        is_grouped = isinstance(member.module, nn.ConvTranspose2d) and member.module.groups > 1
        served = isinstance(member.module, _SERVED) and not is_grouped
        if not served and (isinstance(member.module, nn.Parameter) or any(True for _ in member.module.parameters())):
            return member
    return None
