"""The layers of a model as they are deployed: with the batch norms behind them folded in."""

from __future__ import annotations

from torch import nn

from toolchain.compress.batch_norm import fold_batch_norms
from toolchain.compress.draft import Draft
from toolchain.compress.layers import Layer, LayerOptions, select_layers


def fold_and_select(draft: Draft, options: LayerOptions, *, method: str) -> dict[str, Layer]:
    """Fold the model's batch norms, and return the layers that the options name, in the model's order.

    The weights that are quantized must be those of the deployed graph: a batch norm that is folded later would move
    each channel off its grid. A model without a BatchNorm2d need not be one that can be traced.

    Raises ToolchainError (exit 2) as select_layers does, and where a model with batch norms cannot be traced.
    """
    layers = select_layers(draft.model, options, method=method)
    if any(isinstance(module, nn.BatchNorm2d) for module in draft.model.modules()):
        fold_batch_norms(draft, method=method)
    return layers
