"""Detection: boxes with classes, by a detector without anchors: each cell says its classes and how far its box reaches.

loss = (focal loss of all cells' classes + box_weight * mean GIoU loss of the cells that have a box) / cells with a box.
Focal loss: Lin et al. 2017 (arXiv:1708.02002); which cells have a box: FCOS (Tian et al. 2019, arXiv:1904.01355) with
centre sampling; GIoU: Rezatofighi et al. 2019 (arXiv:1902.09630). The decoder anchor_free (form ltrb) reads the same
outputs on boards; models of other forms bring a loss of their own (task.loss).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "boxes with classes"
METRIC = "map50"
BOXES, CLASSES = "boxes", "classes"
TARGETS = (BOXES, CLASSES)
DECODER = "anchor_free"
CLASS_AXIS = None
MOVES: Mapping[str, str] = {BOXES: "boxes"}

# Left, top, right and bottom.
_SIDES = 4


class Options(Section):
    """What the outputs are, and how the parts count."""

    strides: Annotated[list[int], Field(min_length=1)]
    """Pixels from cell to cell, of each output in their order."""
    classes: Annotated[int, Field(ge=1)]
    exponential: bool = False
    """Whether a distance is the exponential of its number, or the number; both are in strides."""
    box_weight: Annotated[float, Field(ge=0)] = 2.0
    centre_radius: Annotated[float, Field(gt=0)] = 1.5
    """Cells within so many strides of a box's middle, and inside it, learn it."""


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    return {
        "form": "ltrb",
        "classes": options.classes,
        "strides": options.strides,
        "exponential": options.exponential,
        "activated": False,
    }


def make_loss(options: Options) -> TaskLoss:
    """Return the loss of grids `(N, 4 + classes, H, W)` against boxes x1, y1, x2, y2 in pixels, a tensor a sample."""
    import torch
    from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

    from toolchain.tasks.cells import assign_boxes, flatten_grids, reach_out

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        rows, cells = flatten_grids(list(outputs.values()), options.strides)
        distances, scores = rows[..., :_SIDES].float(), rows[..., _SIDES:].float()
        wanted = torch.zeros_like(scores)
        found, truth = [], []
        reach = reach_out(cells, distances.exp() if options.exponential else distances)
        for index, (boxes, classes) in enumerate(zip(targets[BOXES], targets[CLASSES], strict=True)):
            owner = assign_boxes(cells, boxes.float(), radius=options.centre_radius)
            owned = owner >= 0
            wanted[index, owned, classes.long()[owner[owned]]] = 1.0
            found.append(reach[index, owned])
            truth.append(boxes.float()[owner[owned]])
        count = max(1, sum(map(len, found)))
        focal = sigmoid_focal_loss(scores, wanted, reduction="sum")
        overlap = generalized_box_iou_loss(torch.cat(found), torch.cat(truth), reduction="sum")
        total: Tensor = (focal + options.box_weight * overlap) / count
        return total

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) outputs that are no grids, boxes without a size, and classes that the grids have no score for."""
    del classes
    grids = list(outputs.values())
    numbers = {grid.shape[1] if grid.ndim == 4 else 0 for grid in grids}
    if len(grids) != len(options.strides) or numbers != {_SIDES + options.classes}:
        expected = (
            f"(N, {_SIDES + options.classes}, H, W), and so each of {len(options.strides)} outputs, one for each stride"
        )
        raise refuse_first("detection", outputs, expected)
    boxes, numbered = samples.targets[BOXES], samples.targets[CLASSES]
    if not isinstance(boxes, Ragged) or not isinstance(numbered, Ragged) or len(boxes.values) != len(numbered.values):
        raise usage(
            "the boxes and their classes do not fit each other",
            where=where,
            expected="of each sample any number of boxes, with a class each",
            found="others",
            fix="give the ragged targets boxes (rows, 4) and classes (rows,)",
        )
    sizes = boxes.values[:, 2:] - boxes.values[:, :2]
    known = options.classes
    for wrong, what, expected in (
        (~(sizes > 0).all(axis=1), "a box has no size", "x1 < x2 and y1 < y2"),
        (
            (numbered.values < 0) | (numbered.values >= known),
            "a box has a class beyond the model's",
            f"0 to {known - 1}",
        ),
    ):
        for row in np.flatnonzero(wrong)[:1]:
            sample = int(np.searchsorted(boxes.offsets, row, side="right") - 1)
            raise usage(
                what,
                where=f"{where}: {name_sample(samples, sample)}, box {row - boxes.offsets[sample]}",
                expected=expected,
                found=f"{boxes.values[row].tolist()} of class {numbered.values[row]}; {np.count_nonzero(wrong)} such boxes",
                fix="correct the boxes, or leave them out",
            )
