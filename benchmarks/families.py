"""One member of every classification family of torchvision, with seeded random filters and real batch-norm statistics.

Small pictures where the model allows: what TensorRT accepts does not depend on the resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn

from toolchain.data import load_dataset

_SEED = 0
# Of the pictures that make the batch-norm statistics.
_STATISTICS = 16


@dataclass(frozen=True)
class Family:
    """A member of a family: its builder in torchvision, the size of its pictures in pixels, and its options."""

    name: str
    size: int = 64
    options: Mapping[str, Any] | None = None


FAMILIES = (
    Family("convnext_tiny"),
    Family("densenet121"),
    Family("efficientnet_b0"),
    Family("efficientnet_v2_s"),
    Family("googlenet", options={"aux_logits": False, "init_weights": True}),
    Family("inception_v3", size=96, options={"aux_logits": False, "init_weights": True}),
    Family("maxvit_t", size=224),
    Family("mnasnet0_5"),
    Family("mobilenet_v2"),
    Family("mobilenet_v3_small"),
    Family("regnet_y_400mf"),
    Family("resnet18"),
    Family("resnext50_32x4d"),
    Family("shufflenet_v2_x0_5"),
    Family("squeezenet1_1"),
    Family("swin_t"),
    Family("vit_b_16", options={"image_size": 64}),
    Family("wide_resnet50_2"),
    Family("alexnet"),
    Family("vgg11"),
)


def read_pictures(start: int, stop: int, *, size: int) -> NDArray[np.float32]:
    """Return Fashion-MNIST pictures of the small set's calibration part, scaled: float32 (n, 3, size, size)."""
    pictures = torch.from_numpy(load_dataset("fashion_mnist_small", {}).calibration.batch(start, stop)["input"])
    scaled = nn.functional.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
    return np.ascontiguousarray(scaled.numpy())


def build_family(family: Family) -> nn.Module:
    """Return the module in evaluation mode; the same on every call."""
    torch.manual_seed(_SEED)
    model: nn.Module = torchvision.models.get_model(family.name, weights=None, **(family.options or {}))
    normalizations = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if not normalizations:
        return model.eval()
    model.eval()
    with _averaged(normalizations), torch.no_grad():
        model(torch.from_numpy(read_pictures(256, 256 + _STATISTICS, size=family.size)))
    return model


@contextmanager
def _averaged(normalizations: list[nn.BatchNorm2d]) -> Iterator[None]:
    """Let only the normalizations learn: dropout and stochastic depth stay out of it."""
    for module in normalizations:
        module.momentum = None
        module.train()
    yield
    for module in normalizations:
        module.eval()
