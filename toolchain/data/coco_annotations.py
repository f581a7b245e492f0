"""A COCO annotation file as columns: its pictures, classes and boxes; what is wrong with it goes to the faults.

The format: https://cocodataset.org/#format-data. Outlines (segmentation) are passed over.
"""

from __future__ import annotations

import reprlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

from toolchain.data.faults import Faults, Kind
from toolchain.data.json_stream import stream_items
from toolchain.errors import malformed

_LISTS = ("images", "annotations", "categories")
# int64_t, as of the arrays that hold numbers of pictures and classes.
_ID_MAX = 2**63 - 1

_NO_PICTURE = Kind("a picture that is not described", "give its id, file_name, width and height")
_NO_CATEGORY = Kind("a class that is not described", "give its id, a whole number, and its name")
_NO_ANNOTATION = Kind("an annotation that is not described", "give its image_id, category_id and bbox of 4 numbers")
_TWICE = Kind("a picture or class that is listed twice", "keep one of them")
_NO_CROWD = Kind("an annotation that is neither a crowd nor none", "write 0 or 1 as iscrowd")
_NO_POINTS = Kind(
    "an annotation without its key points",
    "give keypoints, x, y and visibility as numbers for each point of its category, and area",
)


@dataclass(frozen=True)
class Picture:
    """A picture as the file describes it."""

    place: str
    file_name: str
    width: int
    height: int


@dataclass
class Annotations:
    """What a file holds; of annotations columns alone, as there are many."""

    path: Path
    pictures: dict[int | str, Picture] = field(default_factory=dict)
    """By id, in the order of the file."""
    names: dict[int, str] = field(default_factory=dict)
    """Of the categories, by id."""
    places: array[int] = field(default_factory=lambda: array("q"))
    """The number of each annotation in the file."""
    picture_ids: list[int | str] = field(default_factory=list)
    category_ids: array[int] = field(default_factory=lambda: array("q"))
    boxes: array[float] = field(default_factory=lambda: array("d"))
    """x, y, width and height in pixels, four of each annotation."""
    crowd: array[int] = field(default_factory=lambda: array("b"))
    points: array[float] = field(default_factory=lambda: array("d"))
    """x, y and visibility, `3 * points` numbers of each annotation; none where nobody asked for them."""
    areas: array[float] = field(default_factory=lambda: array("d"))

    def name_row(self, row: int) -> str:
        """Return where an annotation stands."""
        return f"{self.path}: annotations[{self.places[row]}]"

    def list_classes(self) -> list[int]:
        """Return the ids of the categories in their order, which is that of the classes."""
        return sorted(self.names)


def read_annotations(path: Path, faults: Faults, *, points: int | None) -> Annotations:
    """Return what an annotation file holds.

    points: how many key points each annotation has to have; None reads none. Raises ToolchainError: no such file (exit 3),
    one that is no JSON of lists, or has no pictures or categories (exit 23).
    """
    found = Annotations(path)
    file_names: set[str] = set()
    for key, number, item in stream_items(path):
        place = f"{path}: {key}[{number}]"
        record = item if isinstance(item, dict) else {}
        if key == "images":
            _add_picture(found, record, place, faults, file_names)
        elif key == "categories":
            _add_category(found, record, place, faults)
        elif key == "annotations":
            _add_annotation(found, record, number, faults, points)
    if not found.pictures or not found.names:
        faults.refuse()
        raise malformed(
            "the file holds no annotations of COCO",
            where=str(path),
            expected=f"an object with the lists {', '.join(_LISTS)}",
            found=f"{len(found.pictures)} pictures and {len(found.names)} categories",
            fix="write it as COCO's instances_*.json are",
        )
    return found


def _add_picture(found: Annotations, record: Mapping[str, Any], place: str, faults: Faults, names: set[str]) -> None:
    key, name = record.get("id"), record.get("file_name")
    width, height = record.get("width"), record.get("height")
    if not _is_key(key) or not isinstance(name, str) or not _is_size(width) or not _is_size(height):
        given = {part: record.get(part) for part in ("id", "file_name", "width", "height")}
        faults.add(_NO_PICTURE, place, expected="id, file_name, width and height", found=given)
    elif key in found.pictures or str(PurePosixPath(name)) in names:
        faults.add(_TWICE, place, expected="an id and a file_name that no other has", found=f"{key!r}, {name}")
    else:
        found.pictures[key] = Picture(place=place, file_name=name, width=width, height=height)
        names.add(str(PurePosixPath(name)))


def _add_category(found: Annotations, record: Mapping[str, Any], place: str, faults: Faults) -> None:
    key, name = record.get("id"), record.get("name")
    if not _is_whole(key) or not isinstance(name, str) or not name:
        given = {part: record.get(part) for part in ("id", "name")}
        faults.add(_NO_CATEGORY, place, expected="id, a whole number, and name", found=given)
    elif key in found.names or name in found.names.values():
        faults.add(_TWICE, place, expected="an id and a name that no other has", found=f"{key}, {name}")
    else:
        found.names[key] = name


def _add_annotation(
    found: Annotations, record: Mapping[str, Any], number: int, faults: Faults, points: int | None
) -> None:
    place = f"{found.path}: annotations[{number}]"
    picture, category, box = record.get("image_id"), record.get("category_id"), record.get("bbox")
    if not _is_key(picture) or not _is_whole(category) or not _are_numbers(box, 4):
        faults.add(
            _NO_ANNOTATION, place, expected="image_id, category_id, bbox of 4 numbers", found=(picture, category, box)
        )
        return
    crowd = record.get("iscrowd", 0)
    if not _is_whole(crowd) or crowd not in (0, 1):
        faults.add(_NO_CROWD, place, expected="0 or 1 as iscrowd", found=crowd)
        return
    if points is not None:
        listed, area = record.get("keypoints"), [record.get("area")]
        if not _are_numbers(listed, 3 * points) or not _are_numbers(area, 1):
            length = len(listed) if isinstance(listed, list) else 0
            expected = f"{3 * points} numbers and an area"
            faults.add(_NO_POINTS, place, expected=expected, found=f"{length} numbers, area {reprlib.repr(area[0])}")
            return
        found.points.extend(listed)
        found.areas.extend(area)
    found.places.append(number)
    found.picture_ids.append(picture)
    found.category_ids.append(category)
    found.boxes.extend(box)
    found.crowd.append(crowd)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and -_ID_MAX <= value <= _ID_MAX


def _is_key(value: object) -> TypeGuard[int | str]:
    return _is_whole(value) or isinstance(value, str)


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _ID_MAX


def _are_numbers(values: object, count: int) -> TypeGuard[list[float]]:
    if not isinstance(values, list) or len(values) != count:
        return False
    # A whole number of JSON may be larger than any float.
    return all(isinstance(value, float) or _is_whole(value) for value in values)
