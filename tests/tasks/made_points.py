"""Samples with points, made: what the tests of both tasks of points take."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from toolchain.agent.measure.targets import Ragged
from toolchain.module.fit import take_target_tensors


@dataclass(frozen=True)
class Given:
    """Points of samples, and pictures where a test needs them."""

    targets: dict
    pictures: np.ndarray | None = None
    sha256: str = field(default="made")

    def __len__(self):
        return len(self.targets["points"])

    def batch(self, start, stop):
        return self.take(np.arange(len(self))[start:stop])

    def take(self, indices):
        return {"input": np.zeros((len(indices), 1), np.float32) if self.pictures is None else self.pictures[indices]}


def give(points):
    """Return samples of points: an array (N, points, 3), or a list of persons a sample."""
    if isinstance(points, list):
        offsets = np.cumsum([0, *map(len, points)], dtype=np.int64)
        values = np.concatenate([np.asarray(rows, np.float32).reshape(-1, 2, 3) for rows in points])
        return Given({"points": Ragged(values=values, offsets=offsets)})
    return Given({"points": np.asarray(points, np.float32)})


def take_tensors(samples):
    """Return the targets as a loss gets them."""
    indices = np.arange(len(samples))
    return take_target_tensors(samples, ("points",), indices, {}, device=torch.device("cpu"))


def draw_faces(count, *, seed, side=16):
    """Return pictures (N, 1, side, side) of a bright left eye and a dim right one, and the samples' points."""
    rng = np.random.default_rng(seed)
    points = np.ones((count, 2, 3), np.float32)
    points[:, 0, :2] = rng.integers(2, side - 6, (count, 2))
    points[:, 1, :2] = points[:, 0, :2] + (4, 0)
    pictures = rng.normal(scale=0.05, size=(count, 1, side, side)).astype(np.float32)
    rows = np.arange(count)
    for point, brightness in ((0, 2.0), (1, 1.0)):
        x, y = points[:, point, 0].astype(int), points[:, point, 1].astype(int)
        pictures[rows, 0, y, x] += brightness
    return Given({"points": points}, pictures)
