"""ResNet-8 of MLPerf Tiny's image classification (Banbury et al., 2021, arXiv:2106.07597), 3x32x32 pictures."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            # The reference has a bias here in place of the normalization; once folded, both are one convolution.
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features `(N, channels_out, H / stride, W / stride)`."""
        y: Tensor = self.norm1(self.conv1(x)).relu()
        y = self.norm2(self.conv2(y)) + self.shortcut(x)
        return y.relu()


class ResNet8(nn.Module):
    """Three blocks of 16, 32 and 64 channels; 78,042 parameters with 10 classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)` of pictures `(N, 3, H, W)`."""
        logits: Tensor = self.classifier(self.pool(self.blocks(self.stem(x))).flatten(1))
        return logits


def build(*, num_classes: int = 10) -> nn.Module:
    """Return an untrained ResNet-8."""
    return ResNet8(num_classes)
