"""CIFAR-10: 50,000 + 10,000 colour pictures, 32x32, 10 classes (Krizhevsky, 2009).

Reads the binary version (https://www.cs.toronto.edu/~kriz/cifar.html): the Python version is a pickle, and reading
one executes the code in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import LABELS
from toolchain.data.dataset import Dataset, ImageSamples, hash_files
from toolchain.errors import malformed, missing
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section, check_table
from toolchain.run.cache import find_home

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST_FILES = ("test_batch.bin",)
_RECORDS = 10_000  # in each file
_RECORD_BYTES = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes

# Of each channel over the training part, as everyone uses them.
_MEAN = np.array([0.4914, 0.4822, 0.4465])
_STD = np.array([0.2470, 0.2435, 0.2616])
_TRANSFORM = f"/255, mean {_MEAN.tolist()}, std {_STD.tolist()}"


class Options(Section):
    """Where the files are."""

    folder: DataPath | None = None
    """Of the six .bin files; None means ~/.cache/edge-toolchain/datasets/cifar-10-batches-bin."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return CIFAR-10 as pictures of 3x32x32."""
    chosen = check_table(Options, options, what="the options of cifar10", where="data.options")
    default = ".cache/edge-toolchain/datasets/cifar-10-batches-bin"
    folder = find_home() / default if chosen.folder is None else Path(chosen.folder)
    train = _read_part(folder, "train", _TRAIN_FILES)
    return Dataset(
        name="cifar10",
        train=train,
        calibration=train,
        evaluation=_read_part(folder, "test", _TEST_FILES),
        classes=CLASSES,
        licence=None,  # its page states none
    )


def transform_images(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pictures `(n, 3, 32, 32)` as normalized float32."""
    scale = (1 / (255 * _STD)).astype(np.float32)[:, None, None]
    offset = (_MEAN / _STD).astype(np.float32)[:, None, None]
    normalized: NDArray[np.float32] = images * scale - offset
    return normalized


def lay_pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures `(n, 3, 32, 32)` as pixels `(n, 32, 32, 3)`."""
    return images.transpose(0, 2, 3, 1)


def _read_part(folder: Path, part: str, names: Sequence[str]) -> ImageSamples:
    paths = [folder / name for name in names]
    records = np.concatenate([_read_records(path) for path in paths])
    return ImageSamples(
        images=records[:, 1:].reshape(-1, 3, 32, 32),
        targets={LABELS: records[:, 0].astype(np.int64)},
        sha256=hash_files(f"cifar10 {part}: {_TRANSFORM}", paths),
        transform=transform_images,
        lay_pixels=lay_pixels,
    )


def _read_records(path: Path) -> NDArray[np.uint8]:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise missing(
            "CIFAR-10 is not on this machine",
            where=str(path),
            fix="download and unpack https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz into "
            f"{path.parent.parent}, or set options = {{ folder = … }} for the data in the recipe",
        ) from error
    if size != _RECORDS * _RECORD_BYTES:
        raise malformed(
            "the file has the wrong size",
            where=str(path),
            expected=f"{_RECORDS * _RECORD_BYTES} bytes",
            found=f"{size} bytes",
            fix="unpack cifar-10-binary.tar.gz again",
        )
    records = np.fromfile(path, dtype=np.uint8).reshape(_RECORDS, _RECORD_BYTES)
    if records[:, 0].max() >= len(CLASSES):
        raise malformed(
            "a label is out of range",
            where=str(path),
            expected="0 to 9",
            found=str(records[:, 0].max()),
            fix="unpack cifar-10-binary.tar.gz again",
        )
    return records
