"""Batch normalization folded into the convolution before it: what is trained or quantized then is what is deployed."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from toolchain.compress.draft import Draft
from toolchain.compress.equality import must_stay_equal
from toolchain.compress.layers import list_ties
from toolchain.compress.material import Material
from toolchain.compress.quantization.trace import find_pairs, trace
from toolchain.errors import usage
from toolchain.module.structure import BATCH_NORMS, CONVOLUTIONS


def has_foldable(model: nn.Module) -> bool:
    """Return whether the model has a convolution and a batch norm of as many axes."""
    kinds = [type(module) for module in model.modules()]
    return any(
        any(issubclass(kind, conv) for kind in kinds) and any(issubclass(kind, norm) for kind in kinds)
        for conv, norm in zip(CONVOLUTIONS, BATCH_NORMS, strict=True)
    )


def fold_batch_norms(draft: Draft, material: Material, *, method: str) -> list[str]:
    """Fold every batch norm into the convolution that it alone reads; return the names of those convolutions.

    W' = W * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta. In evaluation mode the model
    computes the same as before, which is checked on calibration samples.

    Raises ToolchainError: exit 2 where the model cannot be traced, or a convolution shares its weight with another
    layer; exit 18 where an output changes.
    """
    graph = trace(draft.model, method=method)
    with must_stay_equal(draft, material, step=f"{method}: folding batch normalization"):
        return _fold(draft, graph, method=method)


def _fold(draft: Draft, graph: fx.GraphModule, *, method: str) -> list[str]:
    folded: list[str] = []
    shared = {name for tie in list_ties(draft.model) for name in tie}
    for conv_name, norm_name in find_pairs(graph, CONVOLUTIONS, BATCH_NORMS):
        conv, norm = draft.model.get_submodule(conv_name), draft.model.get_submodule(norm_name)
        if not isinstance(conv, CONVOLUTIONS) or not isinstance(norm, BATCH_NORMS):
            continue
        if norm.running_mean is None or norm.running_var is None:
            continue  # it normalizes with the batch's own statistics: there is nothing to fold
        if f"{conv_name}.weight" in shared:
            raise usage(
                f"{method} cannot fold {norm_name} into {conv_name}, whose weight another layer has too",
                where=f"{method}: {conv_name}.weight",
                expected="a weight of its own",
                found="a shared one",
                fix="build the layers with weights of their own, or leave this method out of the recipe",
            )
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        draft.add_bias(conv_name)
        conv.weight.data, conv.bias.data = weight.data, bias.data  # type: ignore[union-attr]  # add_bias gave it one
        draft.remove(norm_name)
        folded.append(conv_name)
    return folded
