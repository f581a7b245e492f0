"""MobileNetV3-Small for pictures of 3x32x32, enlarged to 64 inside: hard-swish, squeeze-and-excitation, depthwise 3x3 and 5x5."""

import torchvision
from torch import Tensor, nn


class MobileNetV3(nn.Module):
    """Pictures (N, 3, 32, 32) to scores (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torchvision.models.mobilenet_v3_small(weights=None, num_classes=10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.network(nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))


def build() -> nn.Module:
    """Return the untrained network."""
    return MobileNetV3()
