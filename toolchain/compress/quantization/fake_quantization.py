"""Fake quantization for training: rounding in the forward pass, a useful gradient in the backward pass."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toolchain.compress.layers import Layer
from toolchain.compress.quantization.range_markers import LEVEL_MAX

# float32's smallest normal number, as in the lowering: below it a channel is all zeros.
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny


def round_weight(weight: Tensor, bits: int, *, per_channel: bool = True) -> Tensor:
    """Return the weight on its symmetric grid: scale = largest magnitude / (2^(bits - 1) - 1), zero point 0.

    weight: output channels first. per_channel: one scale for each of them. The gradient passes straight through
    (Bengio et al. 2013, arXiv:1308.3432).
    """
    limit = 2 ** (bits - 1) - 1
    largest = weight.detach().abs().flatten(1).amax(dim=1)
    if not per_channel:
        largest = largest.max().expand_as(largest)
    scales = largest / limit
    scales = torch.where(scales < _SMALLEST_SCALE, torch.ones_like(scales), scales)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    rounded: Tensor = torch.fake_quantize_per_channel_affine(weight.float(), scales.float(), zeros, 0, -limit, limit)
    return rounded.to(weight.dtype)


class RoundedLayer(nn.Module):
    """A convolution or linear layer that computes with its weight rounded; it shares the layer's parameters."""

    def __init__(self, layer: Layer, bits: int) -> None:
        super().__init__()
        self.layer = layer
        self._bits = bits

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer returns."""
        weight = round_weight(self.layer.weight, self._bits)
        output: Tensor = torch.func.functional_call(self.layer, {"weight": weight}, (x,))
        return output


class LearnedRangeMarker(nn.Module):
    """Rounds a tensor to 256 values between two learned bounds (LSQ+, Bhalgat et al. 2020, arXiv:2004.09576).

    A value outside moves the bound that it hits, one inside moves both by its rounding error. The gradients of the
    bounds are scaled by width^2 / sqrt(values of a sample): they are then the gradients of bounds in units of the first
    width, so that one learning rate suits tensors of any magnitude, and they do not grow with the picture (LSQ, Esser
    et al. 2020, arXiv:1902.08153, section 2.2).
    """

    width: Tensor

    def __init__(self, low: float, high: float) -> None:
        """Start with a range that holds 0; a low of 0 stays, as behind a Relu."""
        super().__init__()
        self.low = nn.Parameter(torch.tensor(low), requires_grad=low < 0)
        self.high = nn.Parameter(torch.tensor(high), requires_grad=high > 0)
        self.register_buffer("width", torch.tensor(high - low))
        for bound in (self.low, self.high):
            if bound.requires_grad:
                bound.register_hook(self._limit)  # type: ignore[no-untyped-call]

    def _limit(self, gradient: Tensor) -> Tensor:
        """Return the gradient of a bound, of one width at most.

        A range that a few steps of a high learning rate close takes the model with it: without the limit, ResNet-8 at
        0.01 lost the range of its pooled features, a thousandth was left.
        """
        return gradient.clamp(-self.width, self.width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded tensor, shaped as x, samples first."""
        scale, zero_point = self._find_grid()
        factor = float(self.width) ** 2 / math.sqrt(max(1, x[0].numel()))
        rounded: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), scale.reshape(1), zero_point.reshape(1), 0, LEVEL_MAX, factor
        )
        # Rounding makes a number of NaN. It must reach the loss, which stops the training then.
        return (rounded + x.detach().mean() * 0).to(x.dtype)

    def read_range(self) -> tuple[float, float]:
        """Return low and high of the grid that is at work."""
        scale, exact = (tensor.item() for tensor in self._find_grid())
        zero_point = min(max(round(exact), 0), LEVEL_MAX)
        return -zero_point * scale, (LEVEL_MAX - zero_point) * scale

    def _find_grid(self) -> tuple[Tensor, Tensor]:
        """Return scale and zero point, which is not rounded yet."""
        low, high = self.low.clamp(max=0.0), self.high.clamp(min=0.0)
        # A range that closed could not open again: a thousandth of the first width is left.
        scale = torch.maximum(high - low, self.width * 1e-3).clamp(min=LEVEL_MAX * _SMALLEST_SCALE) / LEVEL_MAX
        return scale, -low / scale
