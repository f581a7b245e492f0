"""Which layers a method works on."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pydantic import Field
from torch import nn

from toolchain.errors import usage
from toolchain.toml_file import Section

Layer = nn.Conv2d | nn.Linear


class LayerOptions(Section):
    """The options of methods that work layer by layer: names as in the PyTorch model, `*` stands for anything."""

    layers: list[str] = Field(default=["*"], min_length=1)
    """Which convolutions and linear layers to work on."""
    skip: list[str] = Field(default_factory=list)
    """Which of them to leave alone."""


def select_layers(model: nn.Module, options: LayerOptions, *, method: str) -> dict[str, Layer]:
    """Return the model's convolutions and linear layers that the options name, in the model's order.

    Raises ToolchainError (exit 2): no such layer in the model, or a name that matches none.
    """
    every = {name: module for name, module in model.named_modules() if isinstance(module, Layer)}
    if not every:
        raise usage(f"{method} finds no layer to work on", expected="a Conv2d or Linear", found="none")
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
    return {name: module for name, module in every.items() if name in selected}


def _match(names: Sequence[str] | dict[str, Layer], patterns: Sequence[str]) -> set[str]:
    return {name for name in names for pattern in patterns if fnmatchcase(name, pattern)}
