"""The layers of a model as they are deployed: with the batch norms behind them folded in."""

from __future__ import annotations

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions, Weighted, select_weighted
from toolchain.compress.material import Material
from toolchain.compress.quantization.batch_norm import fold_batch_norms, has_foldable


def fold_and_select(draft: Draft, options: LayerOptions, material: Material, *, method: str) -> dict[str, Weighted]:
    """Fold the model's batch norms, and return the layers that the options name, in the model's order.

    The weights that are quantized must be those of the deployed graph: a batch norm that is folded later would move
    each channel off its grid. A model without one need not be one that can be traced.

    Raises ToolchainError: exit 2 as select_weighted does, others as fold_batch_norms does.
    """
    layers = select_weighted(draft.model, options, method=method)
    if has_foldable(draft.model):
        fold_batch_norms(draft, material, method=method)
    return layers
