"""Channels that can only go together, found by Torch-Pruning's dependency graph (Fang et al. 2023, arXiv:2301.12900)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch_pruning
from torch import nn
from torch_pruning import ops

from toolchain.compress.draft import Draft
from toolchain.compress.layers import WEIGHTED, LayerOptions, Weighted, list_ties, name_weighted, names_layers
from toolchain.compress.outputs import Inputs
from toolchain.compress.pruning.dependencies import FAILURES, build_graph, explain_failure
from toolchain.compress.pruning.removal import find_counted
from toolchain.errors import ToolchainError, usage
from toolchain.module.structure import CONVOLUTIONS, SERVED, TRANSPOSED

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d

_LISTED_MAX = 5  # names in a line that a person reads
_COUNTED = "the model's forward counts on their number"


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


Check = Callable[[ChannelGroup], ToolchainError | None]
"""What a method needs of a group beside that its channels can go: the error where it does not have it."""


def find_channel_groups(
    draft: Draft,
    inputs: Inputs,
    options: LayerOptions,
    *,
    method: str,
    kinds: tuple[type[nn.Module], ...],
    check: Check | None = None,
) -> list[ChannelGroup]:
    """Return the groups of channels that the options name and that may go: never the model's outputs.

    A skipped layer keeps its whole group. kinds: the layers whose outputs are meant. Where the recipe names no layers,
    groups that cannot go stay, and a note says which: those bound to a recurrent layer, to attention heads or to another
    module that cannot lose channels, those that check refuses, and those whose number the model's forward counts on.

    Raises ToolchainError (exit 2) that names the layer: one that is bound to a layer that `layers` does not name, or, where
    the recipe names layers, one that cannot go; and where nothing is left.
    """
    model = draft.model
    graph = build_graph(model, inputs, method=method)
    named = name_weighted(model, LayerOptions(layers=options.layers), method=method)
    skipped = named - name_weighted(model, options, method=method)
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
    groups: list[ChannelGroup] = []
    left: dict[str, str] = {}
    tied = {name.rpartition(".")[0] for tie in list_ties(model) for name in tie}
    for group in (group for group in meant if not group.is_output):
        _refuse_unnamed(group, named, method=method)
        refused = _explain_bound(group, every, tied, method=method) or (None if check is None else check(group))
        if refused is None:
            groups.append(group)
        elif names_layers(options):
            raise refused
        else:
            left.update(dict.fromkeys(group.layers, refused.found or refused.what))
    if not names_layers(options):
        counted = find_counted(model, inputs, {group.root: group.list_channels([0]) for group in groups}, method=method)
        left.update({name: _COUNTED for group in groups if group.root in counted for name in group.layers})
        groups = [group for group in groups if group.root not in counted]
    if not groups:
        outputs = ", ".join(name for group in meant if group.is_output for name in group.layers)
        raise usage(
            f"{method} finds no channels to remove",
            where=method,
            expected=f"a {'convolution or linear layer' if kinds == WEIGHTED else 'Linear'} that is not the model's output",
            found="; ".join([*([outputs] if outputs else []), *_list_reasons(left)]) or "none",
            fix="correct layers and skip, or leave the method out of the recipe",
        )
    if left:
        draft.note(f"{method} leaves the channels of some layers as they are: {'; '.join(_list_reasons(left))}")
    return groups


def _list_reasons(left: Mapping[str, str]) -> list[str]:
    """Return a phrase for each reason; left: by the name of a layer."""
    phrases: list[str] = []
    for reason in dict.fromkeys(left.values()):
        names = [name for name, own in left.items() if own == reason]
        rest = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
        phrases.append(f"{', '.join(names[:_LISTED_MAX])}{rest} ({reason})")
    return phrases


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
        if isinstance(node.module, Weighted) and gives and name not in layers:
            layers.append(name)
        sections = math.lcm(sections, _count_sections(node.module))
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


def _explain_bound(
    group: ChannelGroup, every: Sequence[ChannelGroup], tied: Collection[str], *, method: str
) -> ToolchainError | None:
    """Return the error for a group with a module that cannot lose channels; None where all of its modules can."""
    member = _find_unserved(group, tied)
    if member is None:
        return None
    free = [other.root for other in every if not other.is_output and _find_unserved(other, tied) is None]
    names = ", ".join(f'"{name}"' for name in group.layers)
    return usage(
        f"{method} cannot remove the channels of {group.root}, because {member.name} has them too",
        where=f"{method}: layers",
        expected="channels of convolutions, linear layers, embeddings and normalizations",
        found=f"{member.name}, a {type(member.module).__name__}"
        + (" whose weight another layer has too" if member.name in tied else ""),
        fix=f"skip = [{names}]" + (f" leaves {', '.join(free)}" if free else ""),
    )


def _find_unserved(group: ChannelGroup, tied: Collection[str]) -> Member | None:
    """Return the first member with parameters that cannot lose channels: attention heads, a shared or bare parameter."""
    for member in group.members:
        if member.name in tied:
            return member
        if isinstance(member.module, SERVED):
            # Of a grouped transposed convolution, no part of the weights would say how many groups it lost; and of a
            # group's channels that are a part of those of another layer's, none would go from its other sections.
            is_grouped = isinstance(member.module, TRANSPOSED) and member.module.groups > 1
            if is_grouped or (_count_sections(member.module) > 1 and len(member.indices) < _count_channels(member)):
                return member
        elif isinstance(member.module, nn.Parameter) or any(True for _ in member.module.parameters()):
            return member
    return None


def _count_sections(module: nn.Module | nn.Parameter) -> int:
    """Return into how many equal sections a module parts its channels; a depthwise convolution follows any other."""
    if isinstance(module, CONVOLUTIONS):
        return 1 if module.groups == module.out_channels else module.groups
    return module.num_groups if isinstance(module, nn.GroupNorm) else 1


def _count_channels(member: Member) -> int:
    """Return how many channels the member's module has on the side that is meant."""
    if isinstance(member.module, nn.GroupNorm):
        return member.module.num_channels
    if isinstance(member.module, CONVOLUTIONS):
        return member.module.out_channels if member.is_output else member.module.in_channels
    return len(member.indices)
