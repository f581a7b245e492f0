"""Pictures in folders: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, decoded when they are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import LABELS, TargetArray
from toolchain.data.class_folders import Files, list_class_files, list_classes
from toolchain.data.dataset import IMAGE_INPUT, Dataset, hash_stats
from toolchain.data.picture_files import SUFFIXES
from toolchain.data.read_image import read_image
from toolchain.errors import usage
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section, check_table

_PICTURES = Files(what="a picture", plural="pictures", suffixes=SUFFIXES)

Channels = Annotated[list[float], Field(min_length=3, max_length=3)]


class Options(Section):
    """Where the pictures are, and what the model expects of them."""

    folder: DataPath
    size: int = Field(default=224, ge=1)
    """Of the square that the model sees, in pixels."""
    # Of ImageNet, for values in [0, 1]: what torchvision's models were trained with.
    mean: Channels = Field(default=[0.485, 0.456, 0.406])
    std: Channels = Field(default=[0.229, 0.224, 0.225])


@dataclass(frozen=True)
class ImageFiles:
    """Labelled picture files, with the classes in turn."""

    paths: Sequence[Path]
    targets: Mapping[str, TargetArray]
    sha256: str
    options: Options

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the pictures start to stop."""
        return self._read(self.paths[start:stop])

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the pictures at the indices `(n,)`."""
        return self._read([self.paths[index] for index in indices])

    def name_sample(self, index: int) -> str:
        """Return the path of a picture."""
        return str(self.paths[index])

    def _read(self, paths: Sequence[Path]) -> dict[str, NDArray[Any]]:
        size = self.options.size
        with ThreadPoolExecutor() as pool:  # decoding runs outside the interpreter's lock
            images = np.stack(list(pool.map(lambda path: read_image(path, size), paths)))
        mean, std = (np.array(values, dtype=np.float32) for values in (self.options.mean, self.options.std))
        normalized = (images.astype(np.float32) / np.float32(255) - mean) / std
        return {IMAGE_INPUT: np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))}


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the pictures of a folder; the classes are the names of the folders in train, sorted."""
    chosen = check_table(Options, options, what="the options of image_folder", where="data.options")
    folder = Path(chosen.folder)
    if 0 in chosen.std:
        raise usage(
            "a standard deviation is 0",
            where="data.options.std",
            found=str(chosen.std),
            fix="give what the training divided by, or leave std out",
        )
    classes = list_classes(folder, _PICTURES)
    train = _list_files(folder / "train", classes, chosen)
    return Dataset(
        name="image_folder",
        train=train,
        calibration=train,
        evaluation=_list_files(folder / "test", classes, chosen),
        classes=classes,
        licence=None,
    )


def _list_files(folder: Path, classes: Sequence[str], options: Options) -> ImageFiles:
    paths, labels = list_class_files(folder, classes, _PICTURES)
    what = f"image_folder upright {folder.name}: {options.size}, mean {options.mean}, std {options.std}"
    return ImageFiles(
        paths=paths,
        targets={LABELS: labels},
        sha256=hash_stats(what, folder, paths),
        options=options,
    )
