"""Nets that every method is tried on: MLPerf's ResNet-8, mobile nets, a transformer block; pictures of made data."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import mobilenet_v2
from torchvision.models.mobilenetv2 import MobileNetV2

from toolchain.data.dataset import ImageSamples
from toolchain.module.builder import build_model
from toolchain.module.weights import load_weights
from toolchain.project.find import find_recipe


class TransformerBlock(nn.Module):
    """One block of a vision transformer with plain layers: pictures (N, 3, 8, 8) to logits (N, 2)."""

    def __init__(self, width=16, heads=2):
        super().__init__()
        self.width, self.heads = width, heads
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.act, self.down = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm1(x)).reshape(-1, 4, 3, self.heads, self.width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = (query @ key.transpose(-1, -2)).softmax(-1) @ value
        x = x + self.out(attended.transpose(1, 2).reshape(-1, 4, self.width))
        x = x + self.down(self.act(self.up(self.norm2(x))))
        return self.head(x.mean(1))


class BranchedNet(nn.Module):
    """What mobile nets are made of, with branches: pictures (N, 3, 8, 8) to logits (N, 2).

    Depthwise convolutions, Relu6, a hard-swish written by hand, a pooled and a plain branch that are concatenated.
    """

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)
        self.both, self.head = nn.Conv2d(12, 8, 1), nn.Linear(8, 2)
        self.drop = nn.Dropout()

    def forward(self, x):
        x = F.relu6(self.norm(self.stem(x)))
        y = self.deep(x)
        y = y * F.relu6(y + 3) / 6
        y = torch.cat([F.relu6(self.left(y)), F.max_pool2d(F.relu(self.right(y)), 3, 1, 1)], 1)
        y = F.relu(x + self.both(y))
        return self.head(self.drop(F.adaptive_avg_pool2d(y, 1).flatten(1)))


class AttentionNet(nn.Module):
    """torch's own attention, whose layers torch.fx does not see."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(x, x, x)[0].mean(1))


def settle_norms(net, seed=0):
    """Give the batch norms of an untrained net statistics, so that folding them changes numbers."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return net.eval()


def build_mobilenet(seed=0):
    """Return torchvision's MobileNetV2."""
    torch.manual_seed(seed)
    return settle_norms(mobilenet_v2(weights=None, num_classes=2))


def build_small_mobilenet(seed=0):
    """Return a MobileNetV2 of three blocks, small enough to be exported in a test."""
    torch.manual_seed(seed)
    settings = [[1, 8, 1, 1], [4, 8, 2, 2]]
    return settle_norms(MobileNetV2(num_classes=2, width_mult=0.5, inverted_residual_setting=settings))


def build_resnet8(*, trained=False):
    """Return ResNet-8 of models/, with its own weights or without."""
    recipe = find_recipe("resnet8")
    torch.manual_seed(0)
    net = build_model(recipe)
    if trained:
        load_weights(net, recipe.folder / "weights.safetensors")
        return net.eval()
    return settle_norms(net)


def build_transformer(seed=0):
    torch.manual_seed(seed)
    return TransformerBlock().eval()


def build_branched(seed=0):
    torch.manual_seed(seed)
    return settle_norms(BranchedNet())


@dataclass(frozen=True)
class _Enlarge:
    factor: int

    def __call__(self, images):
        return np.repeat(np.repeat(images, self.factor, 2), self.factor, 3).astype(np.float32) / 255


def enlarge(samples, factor):
    """Return the samples with pictures so many times as large."""
    return ImageSamples(
        images=samples.images, targets=samples.targets, sha256=f"enlarged {factor}", transform=_Enlarge(factor)
    )
