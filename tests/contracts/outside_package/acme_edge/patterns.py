"""Noisy pictures of stripes and columns, made and not read."""

import hashlib
from dataclasses import dataclass

import numpy as np

from toolchain.data.dataset import Dataset
from toolchain.project.toml_file import Section, check_table


class Options(Section):
    """How many pictures."""

    count: int = 64


@dataclass(frozen=True)
class Patterns:
    """Pictures (count, 3, 8, 8) of four patterns by turns."""

    count: int
    seed: int

    @property
    def targets(self):
        return {"labels": np.arange(self.count) % 4}

    @property
    def sha256(self):
        return hashlib.sha256(f"patterns {self.count} {self.seed}".encode()).hexdigest()

    def __len__(self):
        return self.count

    def batch(self, start, stop):
        rows, columns = np.indices((8, 8)) % 2
        patterns = np.stack([rows, columns, rows ^ columns, np.full((8, 8), 0.5)]) * 2.0 - 1.0
        noise = np.random.default_rng(self.seed).normal(scale=0.8, size=(self.count, 3, 8, 8))
        return {"input": (patterns[np.arange(self.count) % 4][:, None] + noise).astype(np.float32)[start:stop]}


def load(options):
    """Return the pictures."""
    checked = check_table(Options, options, what="the options of acme_patterns", where="data.options")
    return Dataset(
        name="acme_patterns",
        train=None,
        calibration=Patterns(count=checked.count, seed=1),
        evaluation=Patterns(count=checked.count, seed=2),
        classes=None,
        licence=None,
    )
