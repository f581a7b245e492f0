"""K-means weight quantization: a codebook of 2^bits centres per layer (Han et al. 2016, arXiv:1510.00149).

The weights become centres, still as float32; the lowering stores them as packed indices and the codebook
(toolchain/lower/packing/).
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from pydantic import Field

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions
from toolchain.compress.material import Material
from toolchain.compress.quantization.codebook import TrainCodebooks, choose_codebook
from toolchain.compress.quantization.deployed import fold_and_select
from toolchain.compress.quantization.linear_grid import Bits
from toolchain.project.compress_entry import FinetuneSection

SUMMARY = "share 2^bits values among the weights of a layer, by optimal 1-D k-means; the codebook can be trained"
TRAINS = False


class CodebookFinetune(FinetuneSection):
    """How to train the centres. They are not decayed."""

    weight_decay: float = Field(default=0.0, ge=0)


class Options(LayerOptions):
    """The size of the codebook, and its training."""

    bits: Bits
    codebook_finetune: CodebookFinetune | None = None
    """Train the centres, the biases and the layers that have no codebook; a training after that is refused."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Fold batch norms, replace the weights of the layers by their centres, and train these where asked to."""
    layers = fold_and_select(draft, options, material, method="kmeans_quantization")
    pruned = set(draft.list_zero_keepers())
    codes: dict[str, torch.Tensor] = {}
    for name, layer in layers.items():
        codebook = choose_codebook(layer.weight, bits=options.bits, keep_zero=name in pruned)
        codes[name] = codebook.codes
        with torch.no_grad():
            layer.weight.copy_(codebook.expand())
    if options.codebook_finetune is not None:
        hooks = [TrainCodebooks(draft.model, codes)]
        material.fit(draft, options.codebook_finetune, name="codebook", hooks=hooks)
    for name in layers:
        draft.fix_weights(name, bits=options.bits)
    return layers
