"""Linear weight quantization: 2 to 8 bits, symmetric or affine, per channel or per tensor (Jacob et al. 2018, arXiv:1712.05877).

The weights become points of a grid, still as float32; the lowering stores them as packed integers
(toolchain/lower/packing/). Activations are the business of int8 lowering or of qat.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.material import Material
from toolchain.compress.quantization.deployed import fold_and_select
from toolchain.compress.quantization.linear_grid import Bits, Clipping, choose_grid

SUMMARY = "put the weights on a linear grid of 2 to 8 bits, symmetric or affine, per channel or per tensor"
TRAINS = False


class Options(LayerOptions):
    """The grid."""

    bits: Bits
    symmetric: bool = True
    """False: each grid has a zero point of its own, and covers a lopsided range without waste."""
    per_channel: bool = True
    """A scale for each place of the weight's first axis: an output channel, of a transposed convolution an input channel;
    false: one for the layer."""
    clipping: Clipping = "mse"
    """Cut the range where that lowers the squared error; "none" covers all weights."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Fold batch norms and replace the weights of the layers by their nearest points of the grid."""
    layers = fold_and_select(draft, options, material, method="linear_quantization")
    for name, layer in layers.items():
        grid = choose_grid(
            layer.weight,
            bits=options.bits,
            symmetric=options.symmetric,
            per_channel=options.per_channel,
            clipping=options.clipping,
        )
        with torch.no_grad():
            layer.weight.copy_(grid.snap(layer.weight))
        draft.fix_weights(name, bits=options.bits)
    return layers
