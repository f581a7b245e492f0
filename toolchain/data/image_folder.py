"""Pictures in folders: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, decoded when they are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from toolchain.agent.measure.targets import LABELS
from toolchain.data.boxes import measure_picture
from toolchain.data.check_once import check_once
from toolchain.data.class_folders import Files, list_class_files, list_classes
from toolchain.data.dataset import Dataset, hash_stats
from toolchain.data.file_samples import FileSamples
from toolchain.data.framing import check_std, normalize_pictures, read_frame
from toolchain.data.list_files import PICTURES
from toolchain.data.read_image import read_image
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section, check_table

_PICTURES = Files(what="a picture", plural="pictures", suffixes=PICTURES)

Channels = Annotated[list[float], Field(min_length=3, max_length=3)]


class Options(Section):
    """Where the pictures are, and what the model expects of them."""

    folder: DataPath
    size: int = Field(default=224, ge=1)
    """Of the square that the model sees, in pixels."""
    # Of ImageNet, for values in [0, 1]: what torchvision's models were trained with.
    mean: Channels = Field(default=[0.485, 0.456, 0.406])
    std: Channels = Field(default=[0.229, 0.224, 0.225])


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the pictures of a folder; the classes are the names of the folders in train, sorted."""
    chosen = check_table(Options, options, what="the options of image_folder", where="data.options")
    folder = Path(chosen.folder)
    check_std(chosen.std)
    classes = list_classes(folder, _PICTURES)
    train, evaluation = (_list_files(folder / part, classes, chosen) for part in ("train", "test"))
    for part in (train, evaluation):
        check_once("headers of pictures", part.sha256, part.paths, measure_picture)
    return Dataset(
        name="image_folder",
        train=train,
        calibration=train,
        evaluation=evaluation,
        classes=classes,
        licence=None,
    )


def _list_files(folder: Path, classes: Sequence[str], options: Options) -> FileSamples:
    paths, labels = list_class_files(folder, classes, _PICTURES)
    what = f"image_folder upright {folder.name}: {options.size}, mean {options.mean}, std {options.std}"
    return FileSamples(
        paths=paths,
        targets={LABELS: labels},
        sha256=hash_stats(what, folder, paths),
        read=partial(read_image, size=options.size),
        finish=partial(normalize_pictures, mean=options.mean, std=options.std),
        frame=partial(read_frame, grey=False),
    )
