"""Unstructured pruning: the weights of least magnitude become zero (Han et al. 2015, arXiv:1506.02626).

The shapes stay, so ONNX Runtime is not faster for it; the file compresses better, and the zeros are the start
of a sparse format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolchain.errors import usage

if TYPE_CHECKING:
    from torch import nn

SUMMARY = "set the weights of least magnitude to zero, per layer or over the whole model"


class Options(BaseModel):
    """How much to prune, and over what."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    amount: Annotated[float, Field(gt=0, lt=1)]
    """The share of the weights that becomes zero."""
    scope: Literal["global", "layer"] = "global"
    """Compare magnitudes over the whole model, or within each layer."""


def apply(model: nn.Module, options: Options) -> nn.Module:
    """Return the model with the smallest weights of its convolutions and linear layers at zero."""
    from torch import nn
    from torch.nn.utils import prune

    layers = [(module, "weight") for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if not layers:
        raise usage("magnitude_pruning finds no layer to prune", expected="a Conv2d or Linear", found="none")
    if options.scope == "global":
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=options.amount)
    else:
        for module, name in layers:
            prune.l1_unstructured(module, name, amount=options.amount)  # type: ignore[no-untyped-call]
    for module, name in layers:
        prune.remove(module, name)  # type: ignore[no-untyped-call]
    return model
