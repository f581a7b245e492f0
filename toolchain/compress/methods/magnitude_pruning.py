"""Unstructured pruning: the weights of least magnitude become zero (Han et al. 2015, arXiv:1506.02626).

The shapes stay, so ONNX Runtime is not faster for it; the file gets smaller where zeros are packed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch.nn.utils import prune

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions, select_layers
from toolchain.compress.material import Material

SUMMARY = "set the weights of least magnitude to zero, per layer or over the whole model"
TRAINS = False


class Options(LayerOptions):
    """How much to prune, and over what."""

    amount: Annotated[float, Field(gt=0, lt=1)]
    """The share of the weights that becomes zero."""
    scope: Literal["global", "layer"] = "global"
    """Compare magnitudes over all layers, or within each."""


def apply(draft: Draft, options: Options, material: Material) -> None:  # noqa: ARG001 - a method's signature
    """Set the smallest weights of convolutions and linear layers to zero; they stay zero."""
    layers = select_layers(draft.model, options, method="magnitude_pruning")
    parameters = [(module, "weight") for module in layers.values()]
    if options.scope == "global":
        prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=options.amount)
    else:
        for module, name in parameters:
            prune.l1_unstructured(module, name, amount=options.amount)  # type: ignore[no-untyped-call]
    for name, module in layers.items():
        prune.remove(module, "weight")  # type: ignore[no-untyped-call]
        draft.keep_zeros(name)
