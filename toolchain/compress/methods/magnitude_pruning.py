"""Unstructured pruning: the weights of least magnitude become zero (Han et al. 2015, arXiv:1506.02626).

The shapes stay, so ONNX Runtime is not faster for it; the file gets smaller where zeros are packed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from torch.nn.utils import prune

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions, Weighted, select_weighted
from toolchain.compress.material import Material
from toolchain.errors import usage

SUMMARY = "set the weights of least magnitude to zero, per layer, over the whole model or below a threshold"
TRAINS = False


class Options(LayerOptions):
    """How much to prune, and over what."""

    amount: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of the weights that becomes zero."""
    threshold: Annotated[float, Field(gt=0)] | None = None
    """The magnitude up to which weights become zero."""
    scope: Literal["global", "layer", "threshold"] = "global"
    """Compare magnitudes over all layers, within each, or with the threshold."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed, other = ("threshold", "amount") if self.scope == "threshold" else ("amount", "threshold")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise usage(
                "magnitude_pruning is not told how much to prune",
                where=f'magnitude_pruning: scope = "{self.scope}"',
                expected=f"{needed}, and no {other}",
                found=", ".join(key for key in ("amount", "threshold") if getattr(self, key) is not None) or "neither",
                fix='write amount = 0.5, or scope = "threshold" and threshold = 0.01, for example',
            )
        return self


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:  # noqa: ARG001 - a method's signature
    """Set the smallest weights of convolutions and linear layers to zero; they stay zero."""
    layers = select_weighted(draft.model, options, method="magnitude_pruning")
    parameters = [(module, "weight") for module in layers.values()]
    if options.amount is not None:
        _check_amount(layers, options)
    if options.threshold is not None:
        _check_threshold(layers, options.threshold)
        for module, name in parameters:
            mask = module.weight.detach().abs() > options.threshold
            prune.custom_from_mask(module, name, mask)  # type: ignore[no-untyped-call]
    elif options.scope == "global":
        prune.global_unstructured(parameters, pruning_method=prune.L1Unstructured, amount=options.amount)
    else:
        for module, name in parameters:
            prune.l1_unstructured(module, name, amount=options.amount)  # type: ignore[no-untyped-call]
    for name, module in layers.items():
        prune.remove(module, "weight")  # type: ignore[no-untyped-call]
        draft.keep_zeros(name)
    return layers


def _check_amount(layers: dict[str, Weighted], options: Options) -> None:
    """Refuse a share of less than half a weight."""
    sizes = [layer.weight.numel() for layer in layers.values()]
    largest = sum(sizes) if options.scope == "global" else max(sizes)
    if round((options.amount or 0.0) * largest) == 0:
        raise usage(
            "magnitude_pruning would prune nothing",
            where="magnitude_pruning: amount",
            expected=f"at least {1 / largest:.3g}, one of {largest} weights",
            found=str(options.amount),
            fix="raise amount",
        )


def _check_threshold(layers: dict[str, Weighted], threshold: float) -> None:
    """Refuse a threshold that leaves nothing of a layer, or prunes nothing at all."""
    largest = {name: float(layer.weight.detach().abs().max()) for name, layer in layers.items()}
    smallest = min(float(layer.weight.detach().abs().min()) for layer in layers.values())
    name = min(largest, key=lambda name: largest[name])
    if threshold >= largest[name] or threshold < smallest:
        raise usage(
            f"the threshold leaves nothing of {name}" if threshold >= smallest else "the threshold prunes nothing",
            where="magnitude_pruning: threshold",
            expected=f"between {smallest:.3g} and {largest[name]:.3g}",
            found=str(threshold),
            fix=f'choose another threshold, or skip = ["{name}"]',
        )
