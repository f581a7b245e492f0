"""Key points as numbers: x and y of each point of one person a picture, by smooth L1 (Girshick 2015, arXiv:1504.08083).

Points that are not visible are neither learnt nor measured. The decoder points reads the same outputs on boards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from toolchain.data.dataset import Samples
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first
from toolchain.tasks.points import POINTS, Pair, check_pairs, check_points, freeze_pairs, stack_points

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "points of one person a picture, as numbers"
METRIC = "pck"
TARGETS = (POINTS,)
DECODER = "points"
CLASS_AXIS = None
MOVES: Mapping[str, str] = {POINTS: "points"}

Side = Annotated[float, Field(gt=0)]


class Options(Section):
    """What the numbers are."""

    points: Annotated[int, Field(ge=1)]
    scale: Annotated[list[Side], Field(min_length=2, max_length=2)] = Field(default=[1.0, 1.0])
    """What makes pixels of x and y: the width and the height where they are shares of the picture."""
    smooth_below: Annotated[float, Field(gt=0)] = 0.05
    """Where a difference begins to count squared, in the model's own unit; 0.05 is for shares, 5 % of a side."""
    pairs: list[Pair] | None = None
    """Points that change places in a mirror; [] where none has a side. Without them no picture is mirrored."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Options:
        check_pairs(self.pairs, self.points)
        return self


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    return {"scale": options.scale}


def list_pairs(options: Options) -> tuple[tuple[int, int], ...] | None:
    """Return the points that change places in a mirror."""
    return freeze_pairs(options.pairs)


def make_loss(options: Options) -> TaskLoss:
    """Return the loss of numbers `(N, points, 2)` or `(N, 2 * points)` against points `(N, points, 3)`, or persons each."""
    import torch.nn.functional as F

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, output = take_first(outputs)
        found = output.float().reshape(len(output), options.points, 2)
        points = stack_points(targets[POINTS], found)
        wanted = points[..., :2].nan_to_num() / found.new_tensor(options.scale)
        seen = points[..., 2] > 0
        each = F.smooth_l1_loss(found, wanted, beta=options.smooth_below, reduction="none").sum(dim=2)
        mean: Tensor = each.where(seen, 0.0).sum() / seen.sum().clamp(min=1)
        return mean

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) outputs that are not two numbers a point, and points without a place."""
    del classes
    _, output = take_first(outputs)
    if tuple(output.shape[1:]) not in ((options.points, 2), (2 * options.points,)):
        raise refuse_first("keypoint_regression", outputs, f"(N, {options.points}, 2) or (N, {2 * options.points})")
    check_points(samples, options.points, where=where, size=None)
