"""A detector learns the boxes that its cells lie in; what is no box or no grid is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.objectives import make_objective
from toolchain.agent.measure.targets import Ragged
from toolchain.errors import ExitCode, ToolchainError


@dataclass(frozen=True)
class Given:
    targets: dict
    sha256: str = "made"

    def __len__(self):
        return len(self.targets["boxes"])


def give(*samples):
    """Return samples of boxes with classes: a list of (box, class) each."""
    offsets = np.cumsum([0, *map(len, samples)], dtype=np.int64)
    rows = [row for sample in samples for row in sample]
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    classes = np.array([number for _, number in rows], np.int64)
    return Given({"boxes": Ragged(boxes, offsets), "classes": Ragged(classes, offsets)})


def tensors(samples):
    return {
        name: [torch.from_numpy(np.array(target.read(index))) for index in range(len(target))]
        for name, target in samples.targets.items()
    }


SCENES = give([((4, 4, 20, 28), 1), ((18, 2, 30, 14), 0)], [], [((0, 0, 32, 32), 2)])
SHAPES = {"near": (3, 7, 8, 8), "far": (3, 7, 4, 4)}
STRIDES = [4, 8]


def test_grids_that_follow_the_gradient_say_each_box_where_its_cells_are():
    objective = make_objective("detection", strides=STRIDES, classes=3, exponential=True)
    grids = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in SHAPES.items()}
    optimizer = torch.optim.Adam(grids.values(), lr=0.1)
    for _ in range(200):
        loss = objective.loss(grids, tensors(SCENES))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    found = []
    for index, (grid, stride) in enumerate(zip(grids.values(), STRIDES, strict=True)):
        sample, row, column = np.nonzero((grid[:, 4:].detach().sigmoid() > 0.5).any(dim=1).numpy())
        for at in zip(sample, row, column, strict=True):
            numbers = grid[at[0], :, at[1], at[2]].detach().numpy()
            reach = np.exp(numbers[:4]) * stride
            x, y = (at[2] + 0.5) * stride, (at[1] + 0.5) * stride
            box = (x - reach[0], y - reach[1], x + reach[2], y + reach[3])
            found.append((int(at[0]), int(numbers[4:].argmax()), np.round(box).astype(int).tolist(), index))
    assert {(sample, number, tuple(box)) for sample, number, box, _ in found} == {
        (0, 1, (4, 4, 20, 28)),
        (0, 0, (18, 2, 30, 14)),
        (2, 2, (0, 0, 32, 32)),
    }


def test_a_batch_of_empty_pictures_has_a_loss_with_a_gradient():
    objective = make_objective("detection", strides=[4], classes=1)
    grid = torch.nn.Parameter(torch.zeros(1, 5, 2, 2))
    objective.loss({"grid": grid}, tensors(give([]))).backward()
    assert torch.isfinite(grid.grad).all()
    assert (grid.grad[:, 4] > 0).all()


def test_what_fits_is_taken():
    make_objective("detection", strides=STRIDES, classes=3).check(zeros(), SCENES, where="data")


def zeros(**shapes):
    return {name: np.zeros(shape) for name, shape in {**SHAPES, **shapes}.items()}


@pytest.mark.parametrize(
    ("outputs", "samples", "found"),
    [
        (zeros(far=(3, 7, 16)), SCENES, "(3, 7, 8, 8)"),
        ({"near": np.zeros((3, 7, 8, 8))}, SCENES, "(3, 7, 8, 8)"),
        (zeros(near=(3, 4, 8, 8), far=(3, 4, 8, 8)), SCENES, "(3, 4, 8, 8)"),
        (zeros(), give([((4, 4, 4, 28), 1)]), "[4.0, 4.0, 4.0, 28.0]"),
        (zeros(), give([], [((4, 4, 8, 28), 3)]), "of class 3"),
        (zeros(), give([((4, 4, 8, 28), -1)]), "of class -1"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_training(outputs, samples, found):
    with pytest.raises(ToolchainError) as caught:
        make_objective("detection", strides=STRIDES, classes=3).check(outputs, samples, where="data")
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)
    assert found in caught.value.found


def test_a_box_between_all_cells_has_the_nearest():
    from toolchain.tasks.cells import assign_boxes, flatten_grids

    _, cells = flatten_grids([torch.zeros(1, 5, 4, 4)], [8])
    owner = assign_boxes(cells, torch.tensor([[7.0, 7.0, 9.0, 9.0]]), radius=1.5)
    assert (owner == 0).sum() == 1
    assert owner[0] == 0
