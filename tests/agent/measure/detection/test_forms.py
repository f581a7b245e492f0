import numpy as np
import pytest
import torch
from torchvision.ops import box_convert

from toolchain.agent.measure.detection.forms import list_cells, make_corners, reach_out


@pytest.mark.parametrize("form", ["xyxy", "xywh", "cxcywh"])
def test_corners_are_torchvisions(form):
    boxes = np.random.default_rng(0).random((3, 7, 4))
    np.testing.assert_allclose(make_corners(boxes, form), box_convert(torch.from_numpy(boxes), form, "xyxy").numpy())


def test_y_may_come_first():
    assert make_corners(np.array([[1, 2, 3, 4]]), "yxyx").tolist() == [[2, 1, 4, 3]]


def test_cells_go_row_by_row_and_x_comes_first():
    assert list_cells(2, 3).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


def test_distances_reach_out_of_the_middle():
    assert reach_out(np.array([[10, 20]]), np.array([[[1, 2, 3, 4]]])).tolist() == [[[9, 18, 13, 24]]]
