"""Fashion-MNIST: 60,000 + 10,000 grey pictures of clothes, 28x28, 10 classes (Xiao et al., 2017, arXiv:1708.07747)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import LABELS
from toolchain.data.dataset import Dataset, ImageSamples, hash_files
from toolchain.data.idx import read_idx
from toolchain.errors import malformed, missing
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section, check_table
from toolchain.run.cache import find_home

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
LICENCE = "MIT, Copyright 2017 Zalando SE"
TRANSFORM = "pad 28 to 32 with 0, repeat to 3 channels, /255, mean 0.2860, std 0.3530"

# Of all pixels of the training part.
_MEAN, _STD = 0.2860, 0.3530
_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class Options(Section):
    """Where the four files are."""

    folder: DataPath | None = None
    """Of the four .gz files; None looks where Debian's package and torchvision put them."""
    download: bool = False
    """Let torchvision download what is missing."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return Fashion-MNIST as pictures of 3x32x32."""
    train, test = load_parts(options)
    return Dataset(
        name="fashion_mnist", train=train, calibration=train, evaluation=test, classes=CLASSES, licence=LICENCE
    )


def load_parts(options: Mapping[str, Any]) -> tuple[ImageSamples, ImageSamples]:
    """Return the training and the test part, in the order of the files."""
    folder = _find_folder(check_table(Options, options, what="the options of fashion_mnist", where="data.options"))
    return _read_part(folder, "train"), _read_part(folder, "t10k")


def transform_images(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return grey pictures `(n, 28, 28)` as normalized float32 `(n, 3, 32, 32)`."""
    table = ((np.arange(256) / 255 - _MEAN) / _STD).astype(np.float32)
    return np.repeat(table[_pad(images)][:, None], 3, axis=1)


def lay_pixels(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return grey pictures `(n, 28, 28)` as pixels `(n, 32, 32, 3)`."""
    return np.repeat(_pad(images)[..., None], 3, axis=3)


def _pad(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(images, ((0, 0), (2, 2), (2, 2)))


def _cache_folder() -> Path:
    return find_home() / ".cache/edge-toolchain/datasets"


def _file_names(part: str) -> tuple[str, str]:
    return f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz"


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for part in ("train", "t10k") for name in _file_names(part))


def _find_folder(options: Options) -> Path:
    downloaded = _cache_folder() / "FashionMNIST/raw"  # torchvision's layout
    places = [Path(options.folder)] if options.folder is not None else [_DEBIAN_FOLDER, downloaded]
    for place in places:
        if _is_complete(place):
            return place
    if options.download and options.folder is None:
        _download(_cache_folder())
        if _is_complete(downloaded):
            return downloaded
    raise missing(
        "Fashion-MNIST is not on this machine",
        where=f"looked for its four files in {', '.join(map(str, places))}",
        fix="apt install dataset-fashion-mnist, or set options = { download = true } for the data in the recipe",
    )


def _download(root: Path) -> None:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(root), download=True)
    except (OSError, RuntimeError) as error:  # torchvision raises RuntimeError when every mirror failed
        raise missing(
            "Fashion-MNIST could not be downloaded",
            where=f"{root}: {error}",
            fix="apt install dataset-fashion-mnist, or try again with a network",
        ) from error


def _read_part(folder: Path, part: str) -> ImageSamples:
    images_path, labels_path = (folder / name for name in _file_names(part))
    images = read_idx(images_path, axes=3)
    labels = read_idx(labels_path, axes=1)
    if images.shape != (len(labels), 28, 28) or len(labels) == 0:
        raise malformed(
            "the pictures do not fit the labels",
            where=str(images_path),
            expected=f"shape ({len(labels)}, 28, 28)" if len(labels) else "at least one picture",
            found=f"shape {images.shape}",
            fix="get both files again: apt install --reinstall dataset-fashion-mnist, or remove them and set download = true",
        )
    if labels.max() >= len(CLASSES):
        raise malformed(
            "a label is out of range",
            where=str(labels_path),
            expected="0 to 9",
            found=str(labels.max()),
            fix="get it again: apt install --reinstall dataset-fashion-mnist, or remove it and set download = true",
        )
    return ImageSamples(
        images=images,
        targets={LABELS: labels.astype(np.int64)},
        sha256=hash_files(f"fashion_mnist {part}: {TRANSFORM}", [images_path, labels_path]),
        transform=transform_images,
        lay_pixels=lay_pixels,
    )
