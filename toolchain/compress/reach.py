"""Which of a model's weights a method worked on, and which it could not reach: said, never left out in silence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import nn

from toolchain.compress.layers import LayerOptions, find_owner, is_named, list_weights

_LISTED_MAX = 5  # names in a line that a person reads; the record has all


@dataclass(frozen=True)
class Unreached:
    """A weight that a method left as it was, although the recipe did not ask for that."""

    name: str
    kind: str
    """The module that it belongs to, such as LSTM."""
    share: float
    """Of all weights of the model, as a fraction."""


@dataclass(frozen=True)
class Reach:
    """How much of a model's weights a method worked on; biases, scales and shifts do not count."""

    share: float
    """As a fraction."""
    skipped_share: float
    """What the recipe told the method to leave alone."""
    unreached: tuple[Unreached, ...] = ()

    def describe(self, method: str) -> str | None:
        """Return one line for people; None where everything that the recipe names was worked on."""
        if not self.unreached:
            return None
        largest = sorted(self.unreached, key=lambda weight: -weight.share)
        names = [f"{weight.name} ({weight.kind}, {weight.share:.2%})" for weight in largest[:_LISTED_MAX]]
        if rest := largest[_LISTED_MAX:]:
            names.append(f"{len(rest)} more ({sum(weight.share for weight in rest):.2%})")
        return f"{method} works on {self.share:.2%} of the weights; it cannot reach {', '.join(names)}"


@dataclass(frozen=True)
class WeightInventory:
    """The weights of a model before a method, by name: how many numbers each has, whose it is, and its other names."""

    sizes: Mapping[str, int]
    kinds: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]


def take_inventory(model: nn.Module) -> WeightInventory:
    """Return what there is to compress."""
    weights = list_weights(model)
    names: dict[nn.Parameter, list[str]] = {parameter: [] for parameter in weights.values()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter in names:
            names[parameter].append(name)
    return WeightInventory(
        sizes={name: parameter.numel() for name, parameter in weights.items()},
        kinds={name: find_owner(model, name) for name in weights},
        names={name: tuple(names[parameter]) for name, parameter in weights.items()},
    )


def measure_reach(inventory: WeightInventory, modules: Collection[str] | None, options: object) -> Reach:
    """Return the reach of a method that worked on the weights of these modules; None stands for all of them."""
    total = sum(inventory.sizes.values())
    if modules is None or total == 0:
        return Reach(share=1.0, skipped_share=0.0)
    reached, skipped = 0, 0
    unreached: list[Unreached] = []
    for name, size in inventory.sizes.items():
        owners = [other.rpartition(".")[0] for other in inventory.names[name]]
        if not {*owners, *inventory.names[name]}.isdisjoint(modules):
            reached += size
        elif isinstance(options, LayerOptions) and not any(is_named(options, owner) for owner in owners):
            skipped += size
        else:
            unreached.append(Unreached(name, inventory.kinds[name], size / total))
    return Reach(share=reached / total, skipped_share=skipped / total, unreached=tuple(unreached))
