"""A small ConvNeXt for pictures of 3x32x32: depthwise 7x7, LayerNorm over channels, GELU, a residual sum a block."""

import torch
from torch import Tensor, nn

_WIDTHS, _DEPTHS, _CLASSES = (32, 64, 128), (2, 2, 2), 10


class LayerNormChannels(nn.LayerNorm):
    """LayerNorm over the channels of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized features, (N, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """ConvNeXt's block (Liu et al., 2022): features (N, C, H, W) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand, self.reduce = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features with what the block adds."""
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.reduce(nn.functional.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Pictures (N, 3, 32, 32) to scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        given = 3
        for width, depth in zip(_WIDTHS, _DEPTHS, strict=True):
            layers += [nn.Conv2d(given, width, 2, stride=2), LayerNormChannels(width)]
            layers += [Block(width) for _ in range(depth)]
            given = width
        self.features = nn.Sequential(*layers)
        self.norm, self.head = nn.LayerNorm(given), nn.Linear(given, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.head(self.norm(self.features(x).mean((2, 3))))


def build() -> nn.Module:
    """Return the untrained network."""
    return ConvNeXt()
