"""ResNet-18 (He et al., 2015, arXiv:1512.03385), torchvision's."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet18


def build(*, num_classes: int = 10, stem: str = "imagenet") -> nn.Module:
    """Return an untrained ResNet-18.

    Args:
        num_classes: Number of logits.
        stem: "imagenet" divides the picture's sides by 4 before the first block. A 3x3 convolution and no pooling
            suit 32x32 pictures better: "half" divides them by 2, at 4 times the work, and "small" keeps them, at 15.
    """
    model: nn.Module = resnet18(weights=None, num_classes=num_classes)
    if stem == "imagenet":
        return model
    strides = {"half": 2, "small": 1}
    if stem not in strides:
        raise ValueError(f'stem: expected "imagenet", "half" or "small", found {stem!r}')
    model.conv1 = nn.Conv2d(3, 64, 3, stride=strides[stem], padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model
