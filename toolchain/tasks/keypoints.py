"""Key points by heat maps: for each point a map that is high where it lies, of one person a picture.

squared: the mean squared difference from a Gaussian around the point (Xiao et al. 2018, arXiv:1804.06208). cross_entropy: the
divergence of the map's softmax from that Gaussian. Points that are not visible are neither learnt nor measured, and with
COCO's visibility 1 (labelled, hidden) counts as 2 does. The decoder heat_maps reads the same outputs on boards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from toolchain.data.dataset import Samples
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first
from toolchain.tasks.points import POINTS, Pair, check_pairs, check_points, freeze_pairs, stack_points

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "points of one person a picture, by heat maps"
METRIC = "pck"
TARGETS = (POINTS,)
DECODER = "heat_maps"
CLASS_AXIS = None
MOVES: Mapping[str, str] = {POINTS: "points"}

# Of a Gaussian's sum over the cells: what lies wholly outside of the map has no cell.
_SUM_MIN = 1e-6


class Options(Section):
    """What the maps are, and how they are compared."""

    points: Annotated[int, Field(ge=1)]
    stride: Annotated[float, Field(gt=0)] = 4.0
    """Pixels from cell to cell."""
    sigma_cells: Annotated[float, Field(gt=0)] = 2.0
    """How wide a point is in its map, in cells."""
    distance: Literal["squared", "cross_entropy"] = "squared"
    quarter: bool = True
    """Whether the decoder moves a point a quarter of a cell towards the higher neighbour."""
    pairs: list[Pair] | None = None
    """Points that change places in a mirror, such as the left and the right eye; [] where none has a side. Without them no
    picture is mirrored."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Options:
        check_pairs(self.pairs, self.points)
        return self


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    return {"stride": options.stride, "quarter": options.quarter}


def list_pairs(options: Options) -> tuple[tuple[int, int], ...] | None:
    """Return the points that change places in a mirror."""
    return freeze_pairs(options.pairs)


def make_loss(options: Options) -> TaskLoss:
    """Return the loss of heat maps `(N, points, H, W)` against points `(N, points, 3)`, or a tensor (persons, points, 3) each."""
    import torch

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, output = take_first(outputs)
        maps = output.float()
        points = stack_points(targets[POINTS], maps)
        wanted = _draw_maps(points, maps, stride=options.stride, sigma=options.sigma_cells)
        seen = points[..., 2] > 0
        if options.distance == "squared":
            each = (maps - wanted).square().mean(dim=(2, 3))
        else:
            total = wanted.sum(dim=(2, 3), keepdim=True)
            seen = seen & (total[..., 0, 0] > _SUM_MIN)
            share = (wanted / total.clamp(min=_SUM_MIN)).flatten(2)
            each = torch.nn.functional.kl_div(maps.flatten(2).log_softmax(dim=2), share, reduction="none").sum(dim=2)
        # A multiplication would keep the NaN of a point that nobody asked for.
        mean: Tensor = each.where(seen, 0.0).sum() / seen.sum().clamp(min=1)
        return mean

    return loss


def _draw_maps(points: Tensor, like: Tensor, *, stride: float, sigma: float) -> Tensor:
    """Return maps of height 1 around each point, of the shape of the other ones; a cell's place is that of the decoder."""
    import torch

    height, width = like.shape[2:]
    places = points[..., :2].nan_to_num() / stride
    across = torch.arange(width, device=like.device) - places[..., :1]
    down = torch.arange(height, device=like.device) - places[..., 1:]
    gaussians: Tensor = torch.exp(-(across[:, :, None].square() + down[..., None].square()) / (2 * sigma**2))
    return gaussians


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) outputs that are no heat maps of the points, and points outside of them."""
    del classes
    _, maps = take_first(outputs)
    if maps.ndim != 4 or maps.shape[1] != options.points or 0 in maps.shape[2:]:
        raise refuse_first("keypoints", outputs, f"(N, {options.points}, H, W)")
    size = np.array([maps.shape[3], maps.shape[2]]) * options.stride
    check_points(samples, options.points, where=where, size=size, slack=options.stride)
