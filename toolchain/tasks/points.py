"""Points of one person a picture, as losses read them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor

POINTS = "points"

Pair = Annotated[list[int], Field(min_length=2, max_length=2)]


def stack_points(points: TargetTensor, like: Tensor) -> Tensor:
    """Return the points of each sample, x, y and whether it is visible, `(N, points, 3)`; where nobody is, none is."""
    import torch

    if not isinstance(points, list):
        return points.to(like.device, torch.float32)
    nobody = torch.zeros(1, *points[0].shape[1:], device=like.device)
    return torch.cat([rows.to(like.device, torch.float32) if len(rows) else nobody for rows in points])


def check_points(
    samples: Samples, count: int, *, where: str, size: NDArray[np.float64] | None, slack: float = 0.0
) -> None:
    """Refuse (exit 2) several persons in a sample, another number of points, and visible ones that are nowhere.

    size: the width and the height that they lie in, `(2,)`, in pixels, and slack how far they may lie outside: tools round;
    None where only the model knows.
    """
    points = samples.targets[POINTS]
    values = points.values if isinstance(points, Ragged) else points
    if values.ndim != 3 or values.shape[1:] != (count, 3):
        raise usage(
            "the points are not those of the model",
            where=where,
            expected=f"x, y and visibility of {count} points a sample: (N, {count}, 3)",
            found=f"{'ragged ' if isinstance(points, Ragged) else ''}{values.shape}",
            fix="give the points in the order of the model's outputs, or correct task.options.points",
        )
    if isinstance(points, Ragged):
        for index in np.flatnonzero(np.diff(points.offsets) > 1)[:1]:
            raise usage(
                "a sample has the points of several persons",
                where=f"{where}: {name_sample(samples, int(index))}",
                expected="one person at most",
                found=f"{points.offsets[index + 1] - points.offsets[index]}",
                fix="cut a picture of each person, or bring a loss of your own in task.loss",
            )
    places, seen = values[..., :2].astype(np.float64), values[..., 2] > 0
    within = np.isfinite(places).all(axis=2)
    if size is not None:
        within &= ((places >= -slack) & (places <= size + slack)).all(axis=2)
    wrong = (seen & ~within) | ~np.isfinite(values[..., 2])
    for row in np.flatnonzero(wrong.any(axis=1))[:1]:
        sample = int(np.searchsorted(points.offsets, row, side="right") - 1) if isinstance(points, Ragged) else int(row)
        point = int(np.flatnonzero(wrong[row])[0])
        raise usage(
            "a visible point lies nowhere",
            where=f"{where}: {name_sample(samples, sample)}, point {point}",
            expected="finite x and y in pixels"
            if size is None
            else f"x from 0 to {size[0]:g} and y from 0 to {size[1]:g}, in pixels of the model's input",
            found=f"{values[row, point].tolist()}; {np.count_nonzero(wrong.any(axis=1))} such samples",
            fix="correct the points, or write 0 as their visibility",
        )
    if not seen.any():
        raise usage(
            "no point of the data is visible",
            where=where,
            expected="a visibility above 0 somewhere",
            found=f"{len(samples)} samples without one",
            fix="correct the third number of the points: 0 not labelled, 1 hidden, 2 visible (COCO)",
        )


def check_pairs(pairs: Sequence[Sequence[int]] | None, count: int) -> None:
    """Raise ValueError for pairs of points that there are not, or that share one."""
    members = [point for pair in pairs or [] for point in pair]
    if any(not 0 <= point < count for point in members) or len(set(members)) != len(members):
        message = f"pairs of different points, each from 0 to {count - 1} and in one pair at most"
        raise ValueError(message)


def freeze_pairs(pairs: Sequence[Sequence[int]] | None) -> tuple[tuple[int, int], ...] | None:
    """Return pairs as a movement has them (toolchain.tasks.Movement)."""
    return None if pairs is None else tuple((left, right) for left, right in pairs)
