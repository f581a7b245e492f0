"""N:M pruning: of every m weights along the input channels, n stay (Mishra et al. 2021, arXiv:2104.08378).

Sparse tensor cores compute 2:4 at up to twice the rate. The m weights lie side by side along the input channels, for
each output channel and place of the kernel: a convolution's weight as `[out, kernel height, kernel width, in]`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from toolchain.compress.draft import Draft
from toolchain.compress.layers import Layer, LayerOptions, names_layers, select_layers
from toolchain.compress.material import Material
from toolchain.errors import usage

SUMMARY = "keep n of every m weights along the input channels, 2 of 4 for sparse tensor cores"
TRAINS = False


class Options(LayerOptions):
    """How many of how many stay."""

    n: Annotated[int, Field(ge=1)] = 2
    m: Annotated[int, Field(ge=2)] = 4

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.n >= self.m:
            raise usage(
                "nm_pruning would remove nothing",
                where="nm_pruning: n",
                expected=f"less than m = {self.m}",
                found=str(self.n),
                fix="lower n",
            )
        return self


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:  # noqa: ARG001 - a method's signature
    """Set all but the n largest of every m weights to zero; they stay zero.

    A layer whose inputs m does not divide is left as it is, and said; where the recipe names layers, it is refused.
    """
    layers = select_layers(draft.model, options, method="nm_pruning")
    uneven = [name for name, layer in layers.items() if layer.weight.shape[1] % options.m]
    if uneven and not names_layers(options) and len(uneven) < len(layers):
        draft.note(
            f"nm_pruning leaves {', '.join(uneven)} as they are: {options.m} does not divide their input channels"
        )
        layers = {name: layer for name, layer in layers.items() if name not in uneven}
    elif uneven:
        names = ", ".join(f'"{name}"' for name in uneven)
        raise usage(
            f"nm_pruning cannot group the inputs of {', '.join(uneven)}",
            where="nm_pruning: m",
            expected=f"input channels (of one group) that {options.m} divides",
            found=", ".join(str(layers[name].weight.shape[1]) for name in uneven),
            fix=f"skip = [{names}]",
        )
    for name, layer in layers.items():
        layer.weight.data.mul_(find_mask(layer, options.n, options.m))
        draft.keep_zeros(name)
    return layers


def find_mask(layer: Layer, n: int, m: int) -> Tensor:
    """Return 1 for the n weights of greatest magnitude of every m, 0 for the others, in the weight's shape."""
    magnitudes = layer.weight.detach().abs().movedim(1, -1)
    groups = magnitudes.reshape(-1, m)
    kept = torch.zeros_like(groups).scatter_(1, groups.topk(n, dim=1).indices, 1.0)
    return kept.reshape(magnitudes.shape).movedim(-1, 1)
