"""Pictures, and a text file of boxes for each of them: one a line, as YOLO writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from toolchain.agent.measure.preprocess.place import Placement
from toolchain.data.boxes import Boxes, is_box, measure_picture
from toolchain.data.dataset import Dataset, hash_stats
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.data.file_samples import FileSamples
from toolchain.data.framing import Framing, PictureOptions, make_framing
from toolchain.data.list_files import PICTURES, list_files
from toolchain.data.stems import pair_stems
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import check_table
from toolchain.run.regular_file import read_regular

# labelImg writes the names of the classes beside the labels.
_LABEL, _NAMES = ".txt", "classes.txt"
# One line a box, and what Ultralytics keeps: a few hundred of them in a picture. 1 MiB holds 20,000.
_BYTES_MAX = 1 << 20
_NUMBERS = 5

_UNREADABLE = Kind("a label file that cannot be read", "write it again: a line for each box, in UTF-8")
_NO_ROW = Kind(
    "a line that is no box", "write CLASS CX CY WIDTH HEIGHT: the number of the class, and fractions of the picture"
)
_PIXELS = Kind(
    "a box in pixels", "divide by the width and the height of the picture, and give the middle of the box, not a corner"
)
# Of the picture: what a tool has rounded is less beside it.
_FRACTION_MAX = 2.0
_NO_CLASS = Kind("a class beyond the names", "correct the class, count from 0, or add the name to data.options.names")


class Options(PictureOptions):
    """Where pictures and labels are, what the classes are called, and what the model expects of a picture."""

    train: DataPath
    """The folder of the pictures to calibrate with and to learn from."""
    train_labels: DataPath
    """The folder of their label files, which have the same stems; a picture without one has no boxes."""
    evaluation: DataPath
    evaluation_labels: DataPath
    names: Annotated[list[str], Field(min_length=1)]
    """Of the classes, in the order of their numbers."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the pictures with their boxes."""
    chosen = check_table(Options, options, what="the options of yolo_labels", where="data.options")
    framing, faults = make_framing(chosen), Faults()
    parts = [
        _check_part(Path(pictures), Path(labels), framing, faults, len(chosen.names))
        for pictures, labels in (
            (chosen.train, chosen.train_labels),
            (chosen.evaluation, chosen.evaluation_labels),
        )
    ]
    faults.refuse()
    train, evaluation = (_make_samples(part, framing, chosen) for part in parts)
    return Dataset(
        name="yolo_labels",
        train=train,
        calibration=train,
        evaluation=evaluation,
        classes=tuple(chosen.names),
        licence=None,
    )


@dataclass(frozen=True)
class _Part:
    folder: Path
    labels: Path
    paths: Sequence[Path]
    found: Sequence[Path]
    """The label files."""
    placements: list[Placement]
    boxes: Boxes


def _check_part(folder: Path, labels: Path, framing: Framing, faults: Faults, classes: int) -> _Part:
    paths = list_files(folder, PICTURES, what="a picture")
    found = [path for path in list_files(labels, frozenset({_LABEL}), what="a label file") if path.name != _NAMES]
    pairs = pair_stems(folder, paths, labels, found, faults)
    part = _Part(folder, labels, paths, found, [], Boxes())
    for number, path in enumerate(paths):
        width, height = measure_picture(path, faults) or (1, 1)
        part.placements.append(framing.place(width, height))
        if (label := pairs.get(path)) is not None:
            _read_boxes(label, (width, height), number, part.boxes, faults, classes)
    return part


def _read_boxes(path: Path, size: tuple[int, int], picture: int, boxes: Boxes, faults: Faults, classes: int) -> None:
    try:
        text = read_regular(path, size_max=_BYTES_MAX).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        expected = f"text in UTF-8, of up to {_BYTES_MAX:,} bytes"
        faults.add(_UNREADABLE, str(path), expected=expected, found=getattr(error, "strerror", None) or str(error))
        return
    width, height = size
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        row = _read_row(line)
        if row is None:
            faults.add(_NO_ROW, place, expected=f"{_NUMBERS} numbers, the first one whole", found=line)
            continue
        class_number, (x, y, wide, high) = row
        corners = (
            (x - wide / 2) * width, (y - high / 2) * height, (x + wide / 2) * width, (y + high / 2) * height,
        )  # fmt: skip
        if not 0 <= class_number < classes:
            faults.add(_NO_CLASS, place, expected=f"0 to {classes - 1}", found=str(class_number))
        elif _FRACTION_MAX < max(x, y, wide, high) < math.inf:
            faults.add(_PIXELS, place, expected="fractions of the picture, 0 to 1", found=line)
        elif is_box(corners, width=width, height=height, place=place, faults=faults):
            boxes.add(corners, number=class_number, picture=picture)


def _read_row(line: str) -> tuple[int, list[float]] | None:
    """Return the class of a line and its four fractions; None where it is no such line."""
    cells = line.split()
    if len(cells) != _NUMBERS or "_" in line or not line.isascii():  # which Python takes in numbers
        return None
    try:
        return int(cells[0]), [float(cell) for cell in cells[1:]]
    except ValueError:
        return None


def _make_samples(part: _Part, framing: Framing, options: Options) -> FileSamples:
    refuse_without(len(part.boxes), what="box", where=str(part.labels))
    boxes, classes, _ = part.boxes.make_targets(part.placements, part.boxes.sort())
    what = f"yolo_labels {framing} names {options.names}"
    return FileSamples(
        paths=part.paths,
        targets={"boxes": boxes, "classes": classes},
        sha256=hash_stats(hash_stats(what, part.folder, part.paths), part.labels, part.found),
        read=framing.read_picture,
        finish=framing.normalize,
        frame=framing.read_frame,
        framed=framing.framed,
    )
