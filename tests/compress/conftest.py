"""A small model, made data of two classes, and what a method gets beside them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tests.objectives import make_objective, make_scoring
from toolchain.compress import Draft, Material, compress_draft
from toolchain.data.dataset import ImageSamples


def make_samples(count=64):
    """Two classes: the left half bright, or the upper half."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).integers(0, 100, (count, 3, 8, 8), dtype=np.uint8)
    images[labels == 0, :, :, :4] += 100
    images[labels == 1, :, :4, :] += 100
    return ImageSamples(
        images=images,
        targets={"labels": labels},
        sha256="made pictures",
        transform=lambda part: part.astype(np.float32) / 255,
    )


class Block(nn.Module):
    """A residual block, as the smallest model in which channels depend on each other."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


class SmallNet(nn.Module):
    """Stem, two residual blocks, classifier: pictures (N, 3, 8, 8) to logits (N, 2)."""

    def __init__(self, channels=16, classes=2):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(Block(channels), Block(channels))
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        return self.head(self.blocks(x).mean(dim=(2, 3)))


def build_net(seed=0, **options):
    """Return a SmallNet whose batch norms have seen something, so that folding them changes numbers."""
    torch.manual_seed(seed)
    net = SmallNet(**options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def keep_in(folder):
    """Return what keeps a teacher's outputs in a folder, one for each teacher and data, as the cache of a run does."""

    def keep(name, inputs, build):
        kept = folder / f"teacher {name} {inputs['data']}"
        if not kept.exists():
            kept.mkdir()
            build(kept)
        return kept

    return keep


def make_material(folder):
    """Return what a method gets, without a training of its own."""
    samples = make_samples()
    return Material(
        calibration=samples,
        scoring=make_scoring(),
        objective=make_objective(),
        load_training=lambda: samples,
        load_teacher=lambda name: build_net(seed=1),
        finetune=None,
        crop_padding=2,
        flip=True,
        folder=folder,
        on_progress=lambda progress: None,
        where="recipe.toml: compress[0]",
        keep_teacher_outputs=keep_in(folder),
        show_steps=lambda name, total: lambda count=1: None,
    )


@pytest.fixture
def material(tmp_path):
    return make_material(tmp_path)


@pytest.fixture
def compress(material):
    """Return a function that applies one entry to a model and returns the draft."""

    def run(model, **entry):
        draft = Draft(model)
        table = dict(entry)
        finetune = table.get("finetune")
        from toolchain.compress import FinetuneSection

        section = None if finetune is None else FinetuneSection(**finetune)
        compress_draft(draft, table, dataclasses.replace(material, finetune=section))
        return draft

    return run
