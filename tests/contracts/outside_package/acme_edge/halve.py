"""Halves the weights of the layers that are named."""

from acme_edge.factor import FACTOR
from toolchain.compress.layers import LayerOptions, select_layers

SUMMARY = "halve the weights"
TRAINS = False


class Options(LayerOptions):
    """Which layers."""


def apply(draft, options, material):
    """Halve them."""
    layers = select_layers(draft.model, options, method="acme_halve")
    for layer in layers.values():
        layer.weight.data.mul_(FACTOR)
    return layers
