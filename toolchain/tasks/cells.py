"""The cells of a detector's grids: where each is, how far its box reaches, and which box it learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Of several grids, a box belongs to the one on which it spans about so many strides: each covers a factor of two around
# it (FCOS takes 4 to 8 strides of the longer side).
_STRIDES_PER_BOX = 6.0


def flatten_grids(grids: Sequence[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the rows `(N, cells, numbers)` of grids `(N, numbers, H, W)`, and of each cell its middle and its stride.

    The second is `(cells, 3)`: x, y in pixels and the stride.
    """
    rows, cells = [], []
    for grid, stride in zip(grids, strides, strict=True):
        height, width = grid.shape[2:]
        rows.append(grid.flatten(2).transpose(1, 2))
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        middles = (torch.stack([x, y], dim=2).reshape(-1, 2) + 0.5) * stride
        cells.append(torch.cat([middles, torch.full((len(middles), 1), float(stride))], dim=1))
    return torch.cat(rows, dim=1), torch.cat(cells).to(grids[0].device)


def reach_out(cells: Tensor, distances: Tensor) -> Tensor:
    """Return corners x1, y1, x2, y2 `(N, cells, 4)` of distances to left, top, right and bottom, in strides."""
    middles, reach = cells[:, :2], distances * cells[:, 2:]
    return torch.cat([middles - reach[..., :2], middles + reach[..., 2:]], dim=-1)


def assign_boxes(cells: Tensor, boxes: Tensor, *, radius: float) -> Tensor:
    """Return for each cell the index of the box `(boxes, 4)` that it learns, or -1, `(cells,)`.

    A cell learns a box that it lies in, within `radius` strides of its middle, on the grid that suits the box's size; of
    several boxes the smallest. A box that no cell would learn has the nearest cell of its grid.
    """
    if not len(boxes):
        return torch.full((len(cells),), -1, dtype=torch.long, device=cells.device)
    x, y, stride = cells[:, 0, None], cells[:, 1, None], cells[:, 2, None]
    inside = (x > boxes[:, 0]) & (x < boxes[:, 2]) & (y > boxes[:, 1]) & (y < boxes[:, 3])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = torch.maximum((x - middle[:, 0]).abs(), (y - middle[:, 1]).abs()) / stride
    suits = stride == _choose_strides(cells, boxes)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    cost = area.expand(len(cells), -1).masked_fill(~(inside & (away < radius) & suits), float("inf"))
    least, owner = cost.min(dim=1)
    owner = owner.masked_fill(torch.isinf(least), -1)
    nearest = away.masked_fill(~suits, float("inf")).argmin(dim=0)
    for index in range(len(boxes)):
        if not bool((owner == index).any()):
            owner[nearest[index]] = index
    return owner


def _choose_strides(cells: Tensor, boxes: Tensor) -> Tensor:
    """Return the stride `(boxes,)` of the grid that each box belongs to."""
    known: Tensor = torch.unique(cells[:, 2])
    longest = (boxes[:, 2:] - boxes[:, :2]).max(dim=1).values
    ratio = (longest[:, None] / (known * _STRIDES_PER_BOX)).log().abs()
    chosen: Tensor = known[ratio.argmin(dim=1)]
    return chosen
