import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, nms

from toolchain.agent.measure.detection.nms import suppress_overlaps


def draw(seed, count, classes):
    generator = np.random.default_rng(seed)
    corners = generator.random((count, 2)).astype(np.float32) * 60
    boxes = np.concatenate([corners, corners + 2 + generator.random((count, 2)).astype(np.float32) * 30], axis=1)
    return boxes, generator.random(count).astype(np.float32), generator.integers(0, classes, count)


@pytest.mark.parametrize("iou_max", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("count", [0, 1, 50, 400])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_torchvisions(seed, count, iou_max):
    boxes, scores, classes = draw(seed, count, 4)
    tensors = [torch.from_numpy(array) for array in (boxes, scores, classes)]
    expected = nms(*tensors[:2], iou_max).tolist()
    assert suppress_overlaps(boxes, scores, np.zeros(count, int), iou_max).tolist() == expected
    # torchvision moves each class to a place of its own, where float32 has fewer digits: compared in float64.
    apart = batched_nms(tensors[0].double(), tensors[1].double(), tensors[2], iou_max).tolist()
    assert suppress_overlaps(boxes, scores, classes, iou_max).tolist() == apart


def test_of_equal_scores_the_first_stays():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 9, 8.9]])
    assert suppress_overlaps(boxes, np.array([0.5, 0.5, 0.5]), np.zeros(3, int), 0.5).tolist() == [0]


def test_a_nan_and_a_box_without_an_area_suppress_nothing():
    boxes = np.array([[np.nan, 0, 9, 9], [0, 0, 9, 9], [5, 5, 5, 5], [5, 5, 5, 5]])
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert suppress_overlaps(boxes, scores, np.zeros(4, int), 0.5).tolist() == [0, 1, 2, 3]


def test_a_class_number_however_large_is_one_class():
    boxes = np.array([[0, 0, 9, 9.0]] * 3)
    classes = np.array([2**40, 2**40, 1])
    assert suppress_overlaps(boxes, np.array([0.9, 0.8, 0.7]), classes, 0.5).tolist() == [0, 2]
