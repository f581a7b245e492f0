"""What is wrong with the targets of an evaluation: no numbers, classes or letters that the model cannot answer, nothing to find.

A class that no answer can be has a score of 0 for every model, and a mean over classes hides what the others lost behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.tallies.tags import NO_TAG
from toolchain.agent.measure.targets import LABELS, Ragged, TargetArray
from toolchain.data.dataset import Samples, name_sample
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.errors import usage

_NO_NUMBER = Kind("a target that is no number", "correct it, or leave the sample out")
_NO_AREA = Kind("a box without an area", "correct the box, or remove it: x1 < x2 and y1 < y2")
_NO_CLASS = Kind(
    "a class that is none of the model's", "count classes from 0, or bring a model with an output for every class"
)
_NO_LETTER = Kind(
    "a letter that the alphabet lacks", "add it to the alphabet and to the model, or leave the sample out"
)
_NO_TEXT = Kind("a text that is no UTF-8", "write the texts as UTF-8")
_NO_FLAG = Kind("a flag that is neither 0 nor 1", "write 0 or 1")

# Masks may lie on a disk: so many are looked at together.
_TOGETHER = 256


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a model can answer; None is not known."""

    classes: int | None
    letters: str | None
    ignored: object
    """The class number of a mask's pixels that count for nothing."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of what it answers to a sample, by the name of the target that is compared with it."""


def refuse_faulty_targets(samples: Samples, names: Sequence[str], count: int, *, answers: Answers, where: str) -> None:
    """Refuse (exit 2) targets of the first `count` samples that no model like this one is measured by.

    names: of those that the metric reads, and where: the data, for messages. All faults are counted, the first ones named.
    """
    part = _Part(samples=samples, count=count, answers=answers, where=where, faults=Faults())
    for name in names:
        _check_size(part, name, samples.targets[name])
        if (examine := _EXAMINERS.get(name)) is not None:
            examine(part, samples.targets[name])
    part.faults.refuse()


@dataclass(frozen=True, kw_only=True)
class _Part:
    samples: Samples
    count: int
    answers: Answers
    where: str
    faults: Faults

    def add(self, kind: Kind, index: int, *, expected: str, found: object, row: str = "") -> None:
        name = name_sample(self.samples, index)
        place = name if hasattr(self.samples, "name_sample") else f"{self.where}: {name}"
        self.faults.add(kind, place + row, expected=expected, found=found)

    def cut(self, target: TargetArray) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield an array of one row a sample in pieces, with the number of the first sample in each."""
        for start in range(0, self.count, _TOGETHER):
            yield start, np.asarray(target[start : min(start + _TOGETHER, self.count)])  # type: ignore[index]

    def list_rows(self, target: Ragged, wrong: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
        """Yield the wrong rows of the samples that are used: sample, the row in it, the row in all."""
        for row in np.flatnonzero(wrong[: target.offsets[self.count]]).tolist():
            index = int(np.searchsorted(target.offsets, row, side="right") - 1)
            yield index, row - int(target.offsets[index]), row

    def refuse_without(self, found: int, what: str) -> None:
        if not self.faults:
            refuse_without(found, what=what, where=self.where)


def _check_size(part: _Part, name: str, target: TargetArray) -> None:
    shape = part.answers.shapes.get(name)
    if shape is None or isinstance(target, Ragged) or math.prod(target.shape[1:]) == math.prod(shape):
        return
    raise usage(
        f"the target {name} has another size than what the model answers",
        where=part.where,
        expected=f"shape {shape} for each sample",
        found=f"shape {target.shape[1:]}",
        fix="bring the targets of these samples, of the size that the model returns",
    )


def _examine_classes(part: _Part, target: TargetArray) -> None:
    if isinstance(target, Ragged):
        wrong = _find_unknown(part, target.values)
        for index, row, place in part.list_rows(target, wrong):
            part.add(
                _NO_CLASS, index, expected=_name_classes(part), found=str(target.values[place]), row=f", box {row}"
            )
        crowd = part.samples.targets.get("crowd")
        count = int(target.offsets[part.count])
        hidden = crowd.values[:count].sum() if isinstance(crowd, Ragged) else 0
        part.refuse_without(count - int(hidden), "box that is no crowd")


def _examine_boxes(part: _Part, target: TargetArray) -> None:
    if isinstance(target, Ragged) and target.values.ndim == 2:
        corners = target.values.astype(np.float64)
        finite = np.asarray(np.isfinite(corners).all(axis=1))
        flat = np.asarray(finite & (corners[:, 2:] <= corners[:, :2]).any(axis=1))
        for kind, wrong, expected in (
            (_NO_NUMBER, ~finite, "4 finite numbers"),
            (_NO_AREA, flat, "a width and a height above 0"),
        ):
            for index, row, place in part.list_rows(target, wrong):
                part.add(kind, index, expected=expected, found=corners[place].tolist(), row=f", box {row}")


def _examine_mask(part: _Part, target: TargetArray) -> None:
    _examine_places(part, target, ignored=part.answers.ignored, unit="place")


def _examine_tags(part: _Part, target: TargetArray) -> None:
    if not isinstance(target, Ragged):
        _examine_places(part, target, ignored=NO_TAG, unit="token")


def _examine_places(part: _Part, target: TargetArray, *, ignored: object, unit: str) -> None:
    known = set[int]()
    for start, numbers in part.cut(target):
        counts = numbers != ignored
        wrong = counts & _find_unknown(part, numbers)
        known.update(np.unique(numbers[counts & ~wrong]).tolist())
        for row in np.flatnonzero(wrong.reshape(len(numbers), -1).any(axis=1)).tolist():
            found = f"{numbers[row][wrong[row]].flat[0]}, in {np.count_nonzero(wrong[row])} {unit}s"
            part.add(_NO_CLASS, start + row, expected=_name_classes(part), found=found)
    part.refuse_without(len(known), f"{unit} with a class")
    part.refuse_without(len(known) - 1, f"{unit} of a second class: any constant answer is right")


def _examine_labels(part: _Part, target: TargetArray) -> None:
    if isinstance(target, Ragged):
        return
    labels = np.asarray(target[: part.count])
    if labels.ndim == 1:
        for index in np.flatnonzero(_find_unknown(part, labels)).tolist():
            part.add(_NO_CLASS, index, expected=_name_classes(part), found=str(labels[index]))
    else:
        _examine_flags(part, target, positive="class", negative=None)


def _examine_anomalous(part: _Part, target: TargetArray) -> None:
    _examine_flags(part, target, positive="1 as anomalous", negative="0 as anomalous")


def _examine_flags(part: _Part, target: TargetArray, *, positive: str, negative: str | None) -> None:
    if isinstance(target, Ragged):
        return
    flags = np.asarray(target[: part.count]).reshape(part.count, -1)
    for index in np.flatnonzero(~np.isin(flags, (0, 1)).all(axis=1)).tolist():
        part.add(_NO_FLAG, index, expected="0 or 1", found=flags[index].tolist())
    part.refuse_without(int(np.count_nonzero(flags)), positive)
    if negative is not None:
        part.refuse_without(int(np.count_nonzero(flags == 0)), negative)


def _examine_values(part: _Part, target: TargetArray) -> None:
    if isinstance(target, Ragged) or target.dtype.kind not in "fc":
        return
    for start, values in part.cut(target):
        for row in np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).tolist():
            part.add(_NO_NUMBER, start + row, expected="finite numbers", found=values[row].tolist())


def _examine_points(part: _Part, target: TargetArray) -> None:
    rows = target.values if isinstance(target, Ragged) else target
    if rows.ndim < 2 or rows.shape[-1] < 3:
        return
    broken = ((rows[..., 2] != 0) & ~np.isfinite(rows[..., :2]).all(axis=-1)).reshape(len(rows), -1).any(axis=1)
    if isinstance(target, Ragged):
        wrong = [index for index, _, _ in part.list_rows(target, broken)]
    else:
        wrong = np.flatnonzero(broken[: part.count]).tolist()
    for index in wrong:
        part.add(_NO_NUMBER, index, expected="finite x and y where visible", found="NaN or infinity")


def _examine_identity(part: _Part, target: TargetArray) -> None:
    if not isinstance(target, Ragged):
        _, counts = np.unique(target[: part.count], return_counts=True)
        part.refuse_without(int((counts > 1).sum()), "second one of its identity")


def _examine_text(part: _Part, target: TargetArray) -> None:
    letters = None if part.answers.letters is None else set(part.answers.letters)
    if not isinstance(target, Ragged):
        return
    for index in range(part.count):
        try:
            text = bytes(target.read(index).astype(np.uint8)).decode()
        except UnicodeDecodeError as error:
            part.add(_NO_TEXT, index, expected="the bytes of a text in UTF-8", found=str(error))
            continue
        if letters is not None and (unknown := sorted(set(text) - letters)):
            expected = f"letters of {part.answers.letters!r}"
            part.add(_NO_LETTER, index, expected=expected, found=f"{unknown[0]!r} in {text!r}")
    part.refuse_without(int(target.offsets[part.count]), "text of one letter or more")


def _find_unknown(part: _Part, numbers: NDArray[Any]) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = np.asarray(numbers < 0)
    return wrong if part.answers.classes is None else wrong | (numbers >= part.answers.classes)


def _name_classes(part: _Part) -> str:
    return "0 and more" if part.answers.classes is None else f"0 to {part.answers.classes - 1}"


_EXAMINERS: dict[str, Callable[[_Part, TargetArray], None]] = {
    LABELS: _examine_labels,
    "classes": _examine_classes,
    "boxes": _examine_boxes,
    "mask": _examine_mask,
    "tags": _examine_tags,
    "values": _examine_values,
    "text": _examine_text,
    "anomalous": _examine_anomalous,
    "points": _examine_points,
    "identity": _examine_identity,
}
