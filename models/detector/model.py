"""A detector without anchors for pictures 1x96x96: strided convolutions down to 6x6, and back up to grids of 12x12 and 24x24."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Left, top, right and bottom.
SIDES = 4
# Before it has learnt anything, a cell holds a garment with this probability, as in focal loss (arXiv:1708.02002, 4.1),
# and reaches so many strides to each side: half of a box of the six that suit a grid.
_PRIOR, _REACH = 0.01, 3.0


def convolve(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, normalized, with a ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolve(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, of the shape of x."""
        y: Tensor = self.second(self.first(x)) + x
        return y.relu()


class Head(nn.Module):
    """Of each cell, how far its box reaches to each side, in strides, and the scores of its classes."""

    def __init__(self, channels_in: int, channels: int, classes: int) -> None:
        super().__init__()
        self.features = convolve(channels_in, channels)
        self.grid = nn.Conv2d(channels, SIDES + classes, 1)
        with torch.no_grad():
            reach, scores = self.grid.bias.split([SIDES, classes])
            reach.fill_(_REACH)
            scores.fill_(-math.log((1 - _PRIOR) / _PRIOR))

    def forward(self, x: Tensor) -> Tensor:
        """Return the grid `(N, 4 + classes, H, W)`."""
        grid: Tensor = self.grid(self.features(x))
        return grid


class Detector(nn.Module):
    """Features at strides 2, 4, 8 and 16; what the coarse ones see is added to the finer ones."""

    def __init__(self, classes: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        stem, fine, coarse = channels
        self.stem = convolve(1, stem, stride=2)
        self.fine = nn.Sequential(convolve(stem, fine, stride=2), Block(fine))
        self.coarse = nn.Sequential(convolve(fine, coarse, stride=2), Block(coarse))
        self.context = nn.Sequential(convolve(coarse, coarse, stride=2), convolve(coarse, coarse))
        self.to_coarse = nn.ConvTranspose2d(coarse, coarse, 2, 2)
        self.to_fine = nn.ConvTranspose2d(coarse, fine, 2, 2)
        self.fine_head = Head(fine, fine, classes)
        self.coarse_head = Head(coarse, coarse, classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the grids of pictures `(N, 1, 96, 96)`: 24x24 cells of 4 pixels, and 12x12 of 8."""
        fine = self.fine(self.stem(x))
        coarse = self.coarse(fine)
        coarse = (coarse + self.to_coarse(self.context(coarse))).relu()
        fine = (fine + self.to_fine(coarse)).relu()
        return {"grid4": self.fine_head(fine), "grid8": self.coarse_head(coarse)}


def build(*, classes: int = 5, channels: tuple[int, int, int] = (16, 32, 56)) -> nn.Module:
    """Return an untrained detector; channels: at strides 2, 4, and 8 with 16."""
    return Detector(classes, tuple(channels))
