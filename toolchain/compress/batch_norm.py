"""Batch normalization folded into the convolution before it: what is trained or quantized then is what is deployed."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from toolchain.compress.draft import Draft
from toolchain.compress.trace import find_pairs, trace


def fold_batch_norms(draft: Draft, *, method: str) -> list[str]:
    """Fold every BatchNorm2d into the convolution that it alone reads; return the names of those convolutions.

    W' = W * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta. In evaluation mode the model
    computes the same as before.

    Raises ToolchainError (exit 2) where the model cannot be traced.
    """
    folded: list[str] = []
    for conv_name, norm_name in find_pairs(trace(draft.model, method=method), nn.Conv2d, nn.BatchNorm2d):
        conv, norm = draft.model.get_submodule(conv_name), draft.model.get_submodule(norm_name)
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        if norm.running_mean is None or norm.running_var is None:
            continue  # it normalizes with the batch's own statistics: there is nothing to fold
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        draft.add_bias(conv_name)
        conv.weight.data, conv.bias.data = weight.data, bias.data  # type: ignore[union-attr]  # add_bias gave it one
        draft.remove(norm_name)
        folded.append(conv_name)
    return folded
