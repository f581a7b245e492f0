"""MobileNetV2 of half the width for pictures of 3x32x32, enlarged to 64 inside: ReLU6, inverted residuals, depthwise 3x3."""

import torchvision
from torch import Tensor, nn


class MobileNetV2(nn.Module):
    """Pictures (N, 3, 32, 32) to scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torchvision.models.mobilenet_v2(weights=None, num_classes=10, width_mult=0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.network(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))


def build() -> nn.Module:
    """Return the untrained network."""
    return MobileNetV2()
