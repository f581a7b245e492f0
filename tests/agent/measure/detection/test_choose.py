import numpy as np
import pytest

from toolchain.agent.measure.detection.choose import Choice, choose_detections, clip_boxes, join_pictures


def test_candidates_bound_what_goes_into_suppression():
    boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 9], [20, 20, 29, 29]]], np.float32)
    scores = np.array([[[0.9], [0.8], [0.7]]], np.float32)
    assert len(choose_detections(boxes, scores, Choice(candidates=2))["scores"].values) == 1
    assert len(choose_detections(boxes, scores, Choice(candidates=3))["scores"].values) == 2


def test_pictures_without_a_detection_have_no_rows():
    nothing = join_pictures([(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))] * 2)
    assert [rows.offsets.tolist() for rows in nothing.values()] == [[0, 0, 0]] * 3
    assert nothing["boxes"].values.shape == (0, 4)
    assert len(join_pictures([])["boxes"]) == 0


def test_no_classes_and_no_boxes_are_no_detections():
    for rows, classes in ((0, 3), (5, 0)):
        made = choose_detections(np.zeros((2, rows, 4)), np.zeros((2, rows, classes)), Choice(best_class=True))
        assert made["boxes"].offsets.tolist() == [0, 0, 0]


def test_boxes_end_where_the_picture_does():
    boxes = np.array([[-5, -5, 99, 99], [1, 2, 3, np.nan]], np.float32)
    np.testing.assert_array_equal(clip_boxes(boxes, Choice(clip=(30, 40))), [[0, 0, 40, 30], [1, 2, 3, np.nan]])


@pytest.mark.parametrize("changes", [{"candidates": 10**9}, {"detections": 0}, {"iou_max": -0.1}, {"clip": (0, 4)}])
def test_a_choice_that_makes_no_sense_is_none(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Choice(**changes)
