"""Pictures, and a picture of class numbers for each of them: its mask, of the same stem and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import TargetArray
from toolchain.data.boxes import measure_picture
from toolchain.data.dataset import Dataset, hash_stats
from toolchain.data.drawn_rows import DrawnRows
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.data.file_samples import FileSamples
from toolchain.data.framing import Framing, PictureOptions, make_framing
from toolchain.data.list_files import PICTURES, list_files
from toolchain.data.stems import pair_stems
from toolchain.errors import usage
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import check_table

# Masks do not survive losses.
_MASK_SUFFIXES = frozenset({".png", ".bmp"})
IGNORE = 255
"""The class number of places that are nothing's: those beside the picture too."""

_NO_MASK = Kind("a picture without a mask", "bring its mask, or remove the picture")
_OTHER_SIZE = Kind("a mask of another size than its picture", "bring the mask of this picture")


class Options(PictureOptions):
    """Where pictures and masks are, what the classes are called, and what the model expects of a picture."""

    train: DataPath
    """The folder of the pictures to calibrate with and to learn from."""
    train_masks: DataPath
    """The folder of their masks, which have the same stems."""
    evaluation: DataPath
    evaluation_masks: DataPath
    names: Annotated[list[str], Field(min_length=2, max_length=IGNORE)]
    """Of the classes, in the order of their numbers in the masks."""


@dataclass(frozen=True)
class _Part:
    folder: Path
    masks_folder: Path
    paths: list[Path]
    masks: list[Path]


@dataclass(frozen=True)
class _MaskReader:
    """Reads a mask and holds its numbers to the classes."""

    framing: Framing
    classes: int

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Return the class numbers `(H, W)` of the input; raises ToolchainError (exit 2) for one beyond the names."""
        numbers = self.framing.read_mask(path, ignore=IGNORE)
        wrong = numbers[(numbers >= self.classes) & (numbers != IGNORE)]
        if wrong.size:
            raise usage(
                "a mask has a class beyond the names",
                where=str(path),
                expected=f"0 to {self.classes - 1}, or {IGNORE} for what is nothing's",
                found=f"{wrong[0]}, in {wrong.size} places of the input",
                fix="correct the mask, or add the name to data.options.names",
            )
        return numbers


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the pictures with their masks, which are read as the pictures are: when they are taken."""
    chosen = check_table(Options, options, what="the options of mask_pictures", where="data.options")
    framing, faults = make_framing(chosen), Faults()
    parts = [
        _check_part(Path(pictures), Path(masks), faults)
        for pictures, masks in ((chosen.train, chosen.train_masks), (chosen.evaluation, chosen.evaluation_masks))
    ]
    faults.refuse()
    train, evaluation = (_make_samples(part, framing, chosen) for part in parts)
    _refuse_empty(cast("DrawnRows", evaluation.targets["mask"]), parts[1].masks_folder)
    return Dataset(
        name="mask_pictures",
        train=train,
        calibration=train,
        evaluation=evaluation,
        classes=tuple(chosen.names),
        licence=None,
    )


def _check_part(folder: Path, masks: Path, faults: Faults) -> _Part:
    paths = list_files(folder, PICTURES, what="a picture")
    pairs = pair_stems(folder, paths, masks, list_files(masks, _MASK_SUFFIXES, what="a mask"), faults)
    part = _Part(folder, masks, paths, [])
    for path in paths:
        if (mask := pairs.get(path)) is None:
            expected = f"a mask {masks / path.relative_to(folder).with_suffix('')}.png"
            faults.add(_NO_MASK, str(path), expected=expected, found="none")
            continue
        part.masks.append(mask)
        size, other = measure_picture(path, faults), measure_picture(mask, faults)
        if size is not None and other is not None and size != other:
            expected, found = ("x".join(map(str, pair)) for pair in (size, other))
            faults.add(_OTHER_SIZE, str(mask), expected=expected, found=found)
    return part


def _make_samples(part: _Part, framing: Framing, options: Options) -> FileSamples:
    read = _MaskReader(framing=framing, classes=len(options.names))
    rows = DrawnRows(part.masks, read, shape=(framing.height, framing.width), dtype=np.uint8)
    what = f"mask_pictures {framing} names {options.names}"
    return FileSamples(
        paths=part.paths,
        targets={"mask": cast("TargetArray", rows)},
        sha256=hash_stats(hash_stats(what, part.folder, part.paths), part.masks_folder, part.masks),
        read=framing.read_picture,
        finish=framing.normalize,
        frame=framing.read_frame,
        framed=framing.framed,
    )


def _refuse_empty(masks: DrawnRows, folder: Path) -> None:
    """Refuse (exit 2) masks of the first class alone; mostly the first of them shows that they are not."""
    found = any(((mask := masks[index]) != 0)[mask != IGNORE].any() for index in range(len(masks)))
    refuse_without(int(found), what="place of a class after the first", where=str(folder))
