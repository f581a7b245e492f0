"""COCO: pictures in a folder, and a JSON file of boxes with classes, of each part."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import Field

from toolchain.agent.measure.preprocess.place import Placement
from toolchain.agent.measure.targets import Ragged, TargetArray
from toolchain.data.boxes import Boxes, is_box, measure_picture, stack_placements
from toolchain.data.coco_annotations import Annotations, Picture, read_annotations
from toolchain.data.dataset import Dataset, hash_files, hash_stats
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.data.file_samples import FileSamples
from toolchain.data.framing import Framing, PictureOptions, make_framing
from toolchain.errors import usage
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import check_table
from toolchain.run.names import is_utf8

_LEADS_OUT = Kind("a file_name that leads out of the folder", "give names within the folder, and no links out of it")
_NOT_THERE = Kind("a picture that is not there", "bring the pictures of these annotations, or remove it from the file")
_OTHER_SIZE = Kind(
    "a picture of another size than its annotations are for", "bring the pictures of these annotations, upright"
)
_OTHER_PICTURE = Kind("an annotation of a picture that is not listed", "bring the annotations of these pictures")
_OTHER_CLASS = Kind("an annotation of a class that is not listed", "correct category_id, or add the category")
_POINT_OUTSIDE = Kind("a point outside of its picture", "correct the points, or write 0 as their visibility")
# As of boxes (data/boxes.py).
_SLACK_PX = 1.0


class Options(PictureOptions):
    """Where annotations and pictures are, and what the model expects of these."""

    train: DataPath
    """The JSON file to calibrate with and to learn from."""
    train_pictures: DataPath
    """The folder of its pictures."""
    evaluation: DataPath
    evaluation_pictures: DataPath
    points: int | None = Field(default=None, ge=1)
    """How many key points each annotation has; None reads none."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the pictures with their boxes; the classes are the categories in the order of their ids."""
    chosen = check_table(Options, options, what="the options of coco", where="data.options")
    framing, faults = make_framing(chosen), Faults()
    first = read_annotations(Path(chosen.train), faults, points=chosen.points)
    second = read_annotations(Path(chosen.evaluation), faults, points=chosen.points)
    if first.names != second.names:
        faults.refuse()  # a category that is listed twice is in one of them alone
        differing = sorted(first.names.items() ^ second.names.items())
        raise usage(
            "the two files have different categories",
            where=chosen.evaluation,
            expected=f"those of {chosen.train}: the same ids and names",
            found="only in one: " + ", ".join(f"{key} {name}" for key, name in differing[:3]),
            fix="list the same categories in both files",
        )
    # A crowd is a region in which not all are marked: it is not learned as one object.
    parts = [
        _check_part(first, Path(chosen.train_pictures), framing, faults, with_crowds=False),
        _check_part(second, Path(chosen.evaluation_pictures), framing, faults, with_crowds=True),
    ]
    faults.refuse()
    train, evaluation = (_make_samples(part, framing, chosen) for part in parts)
    return Dataset(
        name="coco",
        train=train,
        calibration=train,
        evaluation=evaluation,
        classes=tuple(first.names[key] for key in first.list_classes()),
        licence=None,
    )


@dataclass(frozen=True)
class _Part:
    """What is taken of a file."""

    found: Annotations
    folder: Path
    paths: list[Path]
    placements: list[Placement]
    boxes: Boxes
    rows: list[int]
    """Of the annotations, one for each box."""
    with_crowds: bool


def _check_part(found: Annotations, folder: Path, framing: Framing, faults: Faults, *, with_crowds: bool) -> _Part:
    top = Path(os.path.realpath(folder))
    part = _Part(found, folder, [], [], Boxes(), [], with_crowds)
    if 0 < max(found.boxes, default=0) <= 1:
        raise usage(
            "the boxes are fractions of their pictures",
            where=str(found.path),
            expected="bbox in pixels: left, top, width, height",
            found=f"{len(found.places)} boxes of numbers up to {max(found.boxes):g}",
            fix="multiply them by the width and the height of their pictures",
        )
    numbers = {key: number for number, key in enumerate(found.pictures)}
    classes = {key: number for number, key in enumerate(found.list_classes())}
    pictures = list(found.pictures.values())
    for picture in pictures:
        path = folder / picture.file_name
        _check_picture(picture, path, top, faults)
        part.paths.append(path)
        part.placements.append(framing.place(picture.width, picture.height))
    for row, (key, category) in enumerate(zip(found.picture_ids, found.category_ids, strict=True)):
        if _belongs(found, row, numbers, classes, faults):
            picture = pictures[numbers[key]]
            left, top_px, width, height = found.boxes[4 * row : 4 * row + 4]
            corners = (left, top_px, left + width, top_px + height)
            place = found.name_row(row)
            sound = is_box(corners, width=picture.width, height=picture.height, place=place, faults=faults)
            sound = _check_points(found, row, picture, faults) and sound
            if sound and (with_crowds or not found.crowd[row]):
                part.boxes.add(corners, number=classes[category], picture=numbers[key])
                part.rows.append(row)
    return part


def _make_samples(part: _Part, framing: Framing, options: Options) -> FileSamples:
    refuse_without(len(part.rows), what="box", where=str(part.found.path))
    what = f"coco {framing} points {options.points}, crowds {part.with_crowds}"
    return FileSamples(
        paths=part.paths,
        targets=_make_targets(part, options),
        sha256=hash_stats(hash_files(what, [part.found.path]), part.folder, part.paths),
        read=framing.read_picture,
        finish=framing.normalize,
        frame=framing.read_frame,
        framed=framing.framed,
    )


def _check_picture(picture: Picture, path: Path, top: Path, faults: Faults) -> None:
    name = PurePosixPath(picture.file_name)
    place = f"{picture.place}: {picture.file_name}"
    within = is_utf8(picture.file_name) and "\0" not in picture.file_name
    within = within and not name.is_absolute() and ".." not in name.parts
    if not within or not Path(os.path.realpath(path)).is_relative_to(top):
        faults.add(_LEADS_OUT, picture.place, expected=f"a file in {top}", found=ascii(picture.file_name))
    elif not os.path.isfile(path):  # noqa: PTH113 - Path's raises for a name that is too long
        faults.add(_NOT_THERE, place, expected=f"a file {path}", found="none")
    elif (size := measure_picture(path, faults)) not in (None, (picture.width, picture.height)):
        found = "x".join(map(str, size or ()))
        faults.add(_OTHER_SIZE, place, expected=f"{picture.width}x{picture.height}", found=found)


def _belongs(
    found: Annotations, row: int, numbers: Mapping[int | str, int], classes: Mapping[int, int], faults: Faults
) -> bool:
    picture, category = found.picture_ids[row], found.category_ids[row]
    if picture not in numbers:
        faults.add(_OTHER_PICTURE, found.name_row(row), expected="an id of images", found=f"image_id {picture!r}")
    elif category not in classes:
        expected = f"an id of categories: {', '.join(map(str, classes))}"
        faults.add(_OTHER_CLASS, found.name_row(row), expected=expected, found=f"category_id {category}")
    else:
        return True
    return False


def _check_points(found: Annotations, row: int, picture: Picture, faults: Faults) -> bool:
    if not found.areas:
        return True
    points = len(found.points) // len(found.areas) // 3
    given = np.array(found.points[3 * points * row : 3 * points * (row + 1)]).reshape(points, 3)
    seen = given[given[:, 2] != 0, :2]
    # NaN is in no range.
    if ((seen >= -_SLACK_PX) & (seen <= (picture.width + _SLACK_PX, picture.height + _SLACK_PX))).all() and np.isfinite(
        found.areas[row]
    ):
        return True
    expected = f"within {picture.width}x{picture.height}, and a finite area"
    faults.add(_POINT_OUTSIDE, found.name_row(row), expected=expected, found=(seen.tolist(), found.areas[row]))
    return False


def _make_targets(part: _Part, options: Options) -> dict[str, TargetArray]:
    found, order = part.found, part.boxes.sort()
    corners, classes, pictures = part.boxes.make_targets(part.placements, order)
    rows = np.array(part.rows, dtype=np.int64)[order]
    crowd = np.frombuffer(found.crowd, dtype=np.int8)[rows].astype(np.int64)
    targets: dict[str, TargetArray] = {
        "boxes": corners,
        "classes": classes,
        "crowd": Ragged(values=crowd, offsets=corners.offsets),
    }
    if options.points is not None:
        scale, shift = stack_placements(part.placements)
        points = np.frombuffer(found.points, dtype=np.float64).reshape(-1, options.points, 3)[rows]
        seen = points[..., 2:] > 0
        moved = points[..., :2] * scale[pictures][:, None] + shift[pictures][:, None]
        values = np.concatenate([np.where(seen, moved, 0), points[..., 2:]], axis=2)
        areas = np.frombuffer(found.areas, dtype=np.float64)[rows] * scale[pictures].prod(axis=1)
        targets["points"] = Ragged(values=values.astype(np.float32), offsets=corners.offsets)
        targets["areas"] = Ragged(values=areas.astype(np.float32), offsets=corners.offsets)
    return targets
