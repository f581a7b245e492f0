"""A balanced part of Fashion-MNIST that lies in this folder: 512 pictures for calibration, 2,000 for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.agent.measure.targets import LABELS
from toolchain.data.dataset import Dataset, ImageSamples, hash_files
from toolchain.data.fashion_mnist import CLASSES, LICENCE, TRANSFORM, lay_pixels, transform_images
from toolchain.errors import malformed
from toolchain.project.npz_file import read_arrays
from toolchain.project.toml_file import Section, check_table

FILE = Path(__file__).with_name("fashion_mnist_small.npz")
"""Made by `python -m toolchain.data.make_fashion_mnist_small`."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the part of Fashion-MNIST in this folder; it has no options."""
    check_table(Section, options, what="the options of fashion_mnist_small", where="data.options")
    calibration, evaluation = load_parts()
    return Dataset(
        name="fashion_mnist_small",
        train=None,
        calibration=calibration,
        evaluation=evaluation,
        classes=CLASSES,
        licence=LICENCE,
    )


def load_parts() -> tuple[ImageSamples, ImageSamples]:
    """Return the pictures for calibration, which are of the training part, and those for evaluation."""
    arrays = read_arrays(FILE)

    def take_part(part: str) -> ImageSamples:
        try:
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        except KeyError as error:
            raise malformed(
                "an array is missing",
                where=str(FILE),
                expected=str(error),
                fix="install the toolchain again, which brings this file",
            ) from error
        sha256 = hash_files(f"fashion_mnist_small {part}: {TRANSFORM}", [FILE])
        targets = {LABELS: labels.astype(np.int64)}
        return ImageSamples(
            images=images, targets=targets, sha256=sha256, transform=transform_images, lay_pixels=lay_pixels
        )

    return take_part("calibration"), take_part("evaluation")
