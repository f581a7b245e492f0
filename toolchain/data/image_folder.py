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
from toolchain.data.dataset import IMAGE_INPUT, Dataset, hash_stats, interleave_classes
from toolchain.data.read_image import read_image
from toolchain.errors import missing, usage
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section, check_table
from toolchain.run.names import check_path

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp"})

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
    classes = _list_classes(folder / "train")
    test_classes = _list_classes(folder / "test")
    if test_classes != classes:
        raise usage(
            "train and test have different classes",
            where=str(folder),
            expected="the same folders in both",
            found="only in one: " + ", ".join(sorted(set(classes) ^ set(test_classes))),
            fix="make a folder of pictures for these classes in the other part, or remove them from both",
        )
    train = _list_files(folder / "train", classes, chosen)
    return Dataset(
        name="image_folder",
        train=train,
        calibration=train,
        evaluation=_list_files(folder / "test", classes, chosen),
        classes=classes,
        licence=None,
    )


def _list_classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise missing(
            f"there is no folder {folder}",
            fix="put the pictures into FOLDER/train/CLASS/ and FOLDER/test/CLASS/ and set options = { folder = … } "
            "for the data in the recipe",
        )
    classes = tuple(sorted(check_path(entry, "a class").name for entry in folder.iterdir() if entry.is_dir()))
    if not classes:
        raise usage(
            "the folder holds no classes",
            where=str(folder),
            expected="one folder per class",
            fix="put the pictures of each class into a folder of its name",
        )
    return classes


def _list_files(folder: Path, classes: Sequence[str], options: Options) -> ImageFiles:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            check_path(path, "a picture") for path in (folder / name).iterdir() if path.suffix.lower() in _SUFFIXES
        )
        if not found:
            raise usage(
                "a class has no pictures",
                where=str(folder / name),
                expected=f"files {', '.join(sorted(_SUFFIXES))}",
                fix="put pictures into it, or remove the folder from train and test",
            )
        if (other := next((path for path in found if not path.is_file()), None)) is not None:
            raise usage(
                "what is a picture by its name is no file",
                where=str(other),
                expected="a file, or a link to one",
                found="a link to nothing" if other.is_symlink() else "a folder, a pipe or a device",
                fix="remove it, or give it another name",
            )
        paths += found
        labels += [label] * len(found)
    order = interleave_classes(np.array(labels, dtype=np.int64))
    ordered = [paths[index] for index in order]
    what = f"image_folder upright {folder.name}: {options.size}, mean {options.mean}, std {options.std}"
    return ImageFiles(
        paths=ordered,
        targets={LABELS: np.array(labels, dtype=np.int64)[order]},
        sha256=hash_stats(what, folder, ordered),
        options=options,
    )
