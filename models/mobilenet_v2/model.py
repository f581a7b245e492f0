"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), torchvision's."""

from __future__ import annotations

from torch import nn
from torchvision.models import mobilenet_v2


def build(*, num_classes: int = 1000) -> nn.Module:
    """Return an untrained MobileNetV2 for 3x224x224 pictures."""
    model: nn.Module = mobilenet_v2(weights=None, num_classes=num_classes)
    return model
