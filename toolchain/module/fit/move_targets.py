"""Targets that lie on a picture, moved with it when it is augmented: boxes and masks, by torchvision's own kernels, and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from toolchain.module.fit.augment import Moves
from toolchain.tasks import Movement

if TYPE_CHECKING:
    from toolchain.tasks import TargetTensor

# What lies beyond the border is nothing's: neither learnt nor measured, as in the masks of Cityscapes and VOC.
_NOTHING = 255
# What is left of a box at the border has to be seen: a pixel at the least.
_SIDE_MIN_PX = 1.0


def move_targets(
    targets: Mapping[str, TargetTensor], movements: Mapping[str, Movement], moves: Moves, *, size: tuple[int, int]
) -> dict[str, TargetTensor]:
    """Return the targets of pictures of this size (height, width) after they were moved.

    movements: of each target that moves; its kind is "boxes" (x1, y1, x2, y2), "mask" (N, H, W) or "points" (x, y and whether
    it is visible). A box of which nothing is left goes, and with it its row in the other ragged targets; a point that leaves
    the picture is not visible any more. Raises ValueError for another kind.
    """
    moved = dict(targets)
    for name, movement in movements.items():
        kind = movement.kind
        if kind == "mask":
            masks: Any = targets[name]
            moved[name] = torch.stack([_move_mask(mask, moves, index) for index, mask in enumerate(masks)])
        elif kind == "points":
            placed = [
                _move_points(rows, moves, index, size, movement.pairs) for index, rows in enumerate(targets[name])
            ]
            moved[name] = placed if isinstance(targets[name], list) else torch.stack(placed)
        elif kind == "boxes":
            for index, boxes in enumerate(targets[name]):
                kept, rows = _move_boxes(boxes, moves, index, size)
                for other, value in moved.items():
                    if isinstance(value, list) and len(value[index]) == len(rows):
                        moved[other] = [
                            *value[:index],
                            kept if other == name else value[index][rows],
                            *value[index + 1 :],
                        ]
        else:
            message = f"nothing moves as {kind!r} does"
            raise ValueError(message)
    return moved


def _move_mask(mask: Tensor, moves: Moves, index: int) -> Tensor:
    height, width = mask.shape
    padded = v2.pad_mask(mask[None], [moves.padding] * 4, fill=_NOTHING)
    placed = v2.crop_mask(padded, int(moves.top[index]), int(moves.left[index]), height, width)
    turned = v2.horizontal_flip_mask(placed) if bool(moves.mirrored[index]) else placed
    result: Tensor = turned[0]
    return result


def _move_boxes(boxes: Tensor, moves: Moves, index: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the boxes that are left, and which they were, bool `(rows,)`."""
    given = BoundingBoxes(boxes.float(), format=BoundingBoxFormat.XYXY, canvas_size=size)
    top, left = int(moves.top[index]) - moves.padding, int(moves.left[index]) - moves.padding
    placed = v2.crop(given, top, left, *size)
    placed = v2.clamp_bounding_boxes(v2.horizontal_flip(placed) if bool(moves.mirrored[index]) else placed)
    corners = placed.as_subclass(Tensor)
    rows = ((corners[:, 2:] - corners[:, :2]) >= _SIDE_MIN_PX).all(dim=1)
    return corners[rows], rows


def _move_points(
    points: Tensor, moves: Moves, index: int, size: tuple[int, int], pairs: Sequence[tuple[int, int]]
) -> Tensor:
    """Return points x, y, visible `(…, points, 3)`; of a mirrored picture, left ones have changed places with right ones."""
    height, width = size
    x = points[..., 0] + moves.padding - int(moves.left[index])
    y = points[..., 1] + moves.padding - int(moves.top[index])
    if bool(moves.mirrored[index]):
        x = width - 1 - x  # a point is the middle of its pixel: the first pixel is 0
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    seen = torch.where(inside, points[..., 2], 0)
    placed = torch.stack([x, y, seen.to(x.dtype)], dim=-1)
    if bool(moves.mirrored[index]):
        order = list(range(points.shape[-2]))
        for left, right in pairs:
            order[left], order[right] = right, left
        placed = placed[..., order, :]
    return placed
