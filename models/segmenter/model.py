"""A U-shaped segmenter for pictures 1x96x96: down to 12x12 and back up by transposed convolutions, with skips."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def convolve(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, normalized, with a ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class Up(nn.Module):
    """Twice the size by a transposed convolution, beside the features that were of this size on the way down."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(channels_in, channels_out, 2, 2)
        self.merge = convolve(2 * channels_out, channels_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Return the features `(N, channels_out, 2 H, 2 W)`."""
        merged: Tensor = self.merge(torch.cat([self.grow(x).relu(), skip], dim=1))
        return merged


class Segmenter(nn.Module):
    """Features at strides 2, 4 and 8, and the scores of each pixel."""

    def __init__(self, classes: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = channels
        self.first = nn.Sequential(convolve(1, first, stride=2), convolve(first, first))
        self.second = nn.Sequential(convolve(first, second, stride=2), convolve(second, second))
        self.third = nn.Sequential(convolve(second, third, stride=2), convolve(third, third), convolve(third, third))
        self.to_second = Up(third, second)
        self.to_first = Up(second, first)
        # 4x4 with a stride of 2: each pixel is made of four cells, so that no grid of 2x2 shows.
        self.scores = nn.ConvTranspose2d(first, classes, 4, 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores `(N, classes, 96, 96)` of pictures `(N, 1, 96, 96)`."""
        first = self.first(x)
        second = self.second(first)
        second = self.to_second(self.third(second), second)
        scores: Tensor = self.scores(self.to_first(second, first))
        return scores


def build(*, classes: int = 6, channels: tuple[int, int, int] = (16, 32, 64)) -> nn.Module:
    """Return an untrained segmenter; classes: with the background; channels: at strides 2, 4 and 8."""
    return Segmenter(classes, tuple(channels))
