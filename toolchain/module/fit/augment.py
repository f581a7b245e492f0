"""Augmentation of a batch of pictures: random crops and horizontal flips, all at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Moves:
    """How each picture was moved: padded, cropped from a place in that, and perhaps mirrored."""

    padding: int
    """Pixels on each side."""
    top: Tensor
    """Where the crop begins, `(N,)`."""
    left: Tensor
    mirrored: Tensor
    """bool `(N,)`."""


def augment_images(
    images: Tensor, *, crop_padding: int, flip: bool, generator: torch.Generator
) -> tuple[Tensor, Moves]:
    """Return each picture of `(N, C, H, W)` shifted by up to crop_padding pixels and half of them mirrored; and how.

    The border repeats its last pixel: black stays black whatever the normalization made of it.
    """
    count, _, height, width = images.shape
    span = 2 * crop_padding + 1
    top, left = torch.randint(span, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < (0.5 if flip else 0.0)

    moves = Moves(padding=crop_padding, top=top, left=left, mirrored=mirrored)
    padded = F.pad(images, (crop_padding,) * 4, mode="replicate") if crop_padding else images
    rows = top[:, None] + torch.arange(height)
    columns = torch.arange(width).expand(count, width)
    columns = left[:, None] + torch.where(mirrored[:, None], width - 1 - columns, columns)
    sample = torch.arange(count)[:, None, None]
    # Advanced indices around the channel axis move it last: (N, H, W, C), which is channels_last in memory.
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2), moves
