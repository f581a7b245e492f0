"""Pictures, and a picture of class numbers for each of them: its mask, of the same stem and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import TargetArray
from toolchain.data.boxes import UNREADABLE, measure_picture
from toolchain.data.check_once import check_once
from toolchain.data.dataset import Dataset, hash_stats
from toolchain.data.drawn_rows import DrawnRows
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.data.file_samples import FileSamples
from toolchain.data.framing import MASK_MODES, Framing, PictureOptions, make_framing
from toolchain.data.list_files import PICTURES, list_files
from toolchain.data.open_picture import open_picture
from toolchain.data.stems import pair_stems
from toolchain.errors import ToolchainError, usage
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import check_table

# Masks do not survive losses.
_MASK_SUFFIXES = frozenset({".png", ".bmp"})
IGNORE = 255
"""The class number of places that are nothing's: those beside the picture too."""

_NO_MASK_PICTURE = Kind(
    "a mask that is no picture of class numbers", "store the number of its class in each pixel, as grey of 8 bits"
)
_NO_CLASS = Kind("a class beyond the names", "correct the mask, or add the name to data.options.names")
# Of the numbers in a mask that are none, so many are named.
_NAMED = 5
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


def check_mask(path: Path, faults: Faults, *, classes: int) -> None:
    """Look at every pixel of a mask file; what is none of its classes, and a file that is no mask, go to the faults."""
    try:
        with open_picture(path, lambda width, height: (width, height)) as stored:
            if stored.mode not in MASK_MODES:
                found = f"{stored.format} of mode {stored.mode}"
                faults.add(_NO_MASK_PICTURE, str(path), expected="a palette, or grey of 8 bits", found=found)
                return
            counts = stored.histogram()
            bilevel = stored.mode == "1"  # which counts its white as 255
    except ToolchainError as error:
        faults.add(UNREADABLE, str(path), expected=error.expected or "a picture", found=error.found or error.what)
        return
    wrong = [] if bilevel else [number for number in range(classes, IGNORE) if counts[number]]
    if wrong:
        found = f"{', '.join(map(str, wrong[:_NAMED]))}, in {sum(counts[number] for number in wrong)} pixels"
        expected = f"0 to {classes - 1}, or {IGNORE} for what is nothing's"
        faults.add(_NO_CLASS, str(path), expected=expected, found=found)


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
    check = partial(check_mask, classes=len(chosen.names))
    for part, samples in zip(parts, (train, evaluation), strict=True):
        check_once(f"masks of {len(chosen.names)} classes", samples.sha256, part.masks, check)
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
    what = f"place of a class after the first ({IGNORE} stands for nothing: write a class as its number)"
    refuse_without(int(found), what=what, where=str(folder))
