"""ResNet-18 (He et al., 2015, arXiv:1512.03385), torchvision's."""

from __future__ import annotations

from torch import nn
from torchvision.models import resnet18


def build(*, num_classes: int = 10, stem: str = "imagenet") -> nn.Module:
    """Return an untrained ResNet-18.

    Args:
        num_classes: Number of logits.
        stem: "imagenet" divides the picture's sides by 4 before the first block; "small", a 3x3 convolution and no
            pooling, keeps them: more accurate on 32x32 pictures, at about 15 times the work.
    """
    model: nn.Module = resnet18(weights=None, num_classes=num_classes)
    if stem == "small":
        model.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif stem != "imagenet":
        raise ValueError(f'stem: expected "imagenet" or "small", found {stem!r}')
    return model
