"""Which layers a method works on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import get_args

from pydantic import Field
from torch import Tensor, nn

from toolchain.errors import usage
from toolchain.project.toml_file import Section

Layer = nn.Conv2d | nn.Linear
"""What methods that follow channels or outputs from layer to layer work on."""

Weighted = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear
"""What methods that only change the numbers in a weight work on."""

WEIGHTED = get_args(Weighted)

_EVERY = ["*"]


class LayerOptions(Section):
    """The options of methods that work layer by layer: names as in the PyTorch model, `*` stands for anything."""

    layers: list[str] = Field(default=_EVERY, min_length=1)
    """Which convolutions and linear layers to work on."""
    skip: list[str] = Field(default_factory=list)
    """Which of them to leave alone."""


def names_layers(options: LayerOptions) -> bool:
    """Return whether the recipe names layers: a method then refuses one that it cannot work on, and else leaves it out."""
    return options.layers != _EVERY


def name_weighted(model: nn.Module, options: LayerOptions, *, method: str) -> set[str]:
    """Return the names of convolutions of any kind and linear layers that the options name.

    Raises ToolchainError (exit 2) as select_layers does.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Weighted)}
    return _select(model, every, options, method=method, expected="a convolution or Linear")


def select_layers(model: nn.Module, options: LayerOptions, *, method: str) -> dict[str, Layer]:
    """Return the model's convolutions over pictures and linear layers that the options name, in the model's order.

    Raises ToolchainError (exit 2): no such layer in the model, or a name that matches none.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Layer)}
    selected = _select(model, every, options, method=method, expected="a Conv2d or Linear")
    return {name: module for name, module in every.items() if name in selected}


def select_weighted(model: nn.Module, options: LayerOptions, *, method: str) -> dict[str, Weighted]:
    """Return the model's convolutions of any kind and linear layers that the options name, in the model's order.

    Of layers that share one weight, the first stands for all, where the options name them all.

    Raises ToolchainError (exit 2) as select_layers does, and for a shared weight of which the options leave a layer out.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Weighted)}
    selected = name_weighted(model, options, method=method)
    first: dict[Tensor, str] = {}
    for name, module in every.items():
        other = first.setdefault(module.weight, name)
        if (name in selected) != (other in selected):
            raise usage(
                f"{method} can change the weight that {other} and {name} share only in both",
                where=f"{method}: layers and skip",
                expected="both of them, or none",
                found=name if name in selected else other,
                fix=f'skip = ["{other}", "{name}"]',
            )
    return {name: module for name, module in every.items() if name in selected and first[module.weight] == name}


def list_ties(model: nn.Module) -> list[tuple[str, ...]]:
    """Return the names of parameters that are one and the same, each group in the model's order."""
    names: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(parameter, []).append(name)
    return [tuple(group) for group in names.values() if len(group) > 1]


def list_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that compression is about, by name: matrices and kernels, of whatever module.

    Biases, scales and shifts are vectors.
    """
    return {name: parameter for name, parameter in model.named_parameters() if parameter.ndim > 1}


def _select(
    model: nn.Module, every: Sequence[str] | Mapping[str, object], options: LayerOptions, *, method: str, expected: str
) -> set[str]:
    if not every:
        raise usage(
            f"{method} finds no layer to work on",
            where=f"{method}: layers",
            expected=expected,
            found=", ".join(f"{name} ({find_owner(model, name)})" for name in list_weights(model)) or "no weights",
            fix="leave this method out of the recipe",
        )
    for key, patterns in (("layers", options.layers), ("skip", options.skip)):
        for pattern in patterns:
            if not _match(every, [pattern]):
                raise usage(
                    "a layer name matches nothing",
                    where=f"{method}: {key}",
                    expected=f"one of {', '.join(every)}, or a pattern such as {next(iter(every)).split('.')[0]}*",
                    found=pattern,
                    fix="correct its spelling",
                )
    selected = _match(every, options.layers) - _match(every, options.skip)
    if not selected:
        raise usage(
            f"{method} has nothing left to work on",
            where=f"{method}: skip",
            expected="at least one layer",
            found=f"all {len(every)} skipped",
            fix="name fewer layers in skip",
        )
    return selected


def find_owner(model: nn.Module, parameter: str) -> str:
    """Return the kind of module that a parameter belongs to."""
    return type(model.get_submodule(parameter.rpartition(".")[0])).__name__


def is_named(options: LayerOptions, module: str) -> bool:
    """Return whether the options' layers name a module and its skip does not."""
    return any(fnmatchcase(module, pattern) for pattern in options.layers) and not any(
        fnmatchcase(module, pattern) for pattern in options.skip
    )


def _match(names: Sequence[str] | Mapping[str, object], patterns: Sequence[str]) -> set[str]:
    return {name for name in names for pattern in patterns if fnmatchcase(name, pattern)}
