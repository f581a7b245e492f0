import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"iou_max": 0.4}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("boxes", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("boxes", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    corners = generator.random((count, 40, 2)) * 50
    boxes = np.concatenate([corners, corners + 5 + generator.random((count, 40, 2)) * 20], axis=2).astype(np.float32)
    return {"boxes": boxes, "scores": generator.random((count, 40, 3)).astype(np.float32)}, {}


def test_they_are_those_that_torchvision_keeps():
    outputs, _ = draw(np.random.default_rng(0), 5)
    made = find_decoder("boxes", {"threshold": 0.2, "iou_max": 0.3, "detections": 30}).decode(outputs, {})
    for index in range(5):
        rows, classes = np.nonzero(outputs["scores"][index] > 0.2)
        boxes, scores = outputs["boxes"][index][rows], outputs["scores"][index][rows, classes]
        stays = batched_nms(*map(torch.from_numpy, (boxes, scores, classes)), 0.3).numpy()[:30]
        np.testing.assert_array_equal(made["boxes"].read(index), boxes[stays])
        np.testing.assert_array_equal(made["scores"].read(index), scores[stays])
        np.testing.assert_array_equal(made["classes"].read(index), classes[stays])


def test_forms_scale_background_and_clip_are_options():
    outputs = {"b": np.array([[[0.5, 0.5, 2.0, 0.5]]], np.float32), "s": np.array([[[0.9, 0.1, 0.8]]], np.float32)}
    options = {"boxes": "b", "scores": "s", "form": "cxcywh", "scale": 10.0, "background": True, "clip": [8, 12]}
    made = find_decoder("boxes", {**options, "threshold": 0.5}).decode(outputs, {})
    assert made["boxes"].values.tolist() == [[0.0, 2.5, 12.0, 7.5]]
    assert made["classes"].values.tolist() == [1]


def test_a_box_may_be_of_its_best_class_alone():
    outputs = {"boxes": np.array([[[0, 0, 9, 9]]], np.float32), "scores": np.array([[[0.6, 0.9, np.nan]]], np.float32)}
    several, best = (find_decoder("boxes", {"best_class": only}).decode(outputs, {}) for only in (False, True))
    assert several["classes"].values.tolist() == [1, 0]
    assert best["classes"].values.tolist() == [1]


def test_nothing_above_the_threshold_is_no_detection():
    outputs, _ = draw(np.random.default_rng(0), 3)
    assert find_decoder("boxes", {"threshold": 1.0}).decode(outputs, {})["boxes"].offsets.tolist() == [0, 0, 0, 0]


def test_many_boxes_on_one_another_take_bounded_time_and_the_best_stay():
    count = 200_000
    places = np.arange(count, dtype=np.float32)[None, :, None]
    boxes = places + np.array([0, 0, 0.5, 0.5], np.float32)
    scores = np.linspace(0.1, 0.9, count, dtype=np.float32).reshape(1, count, 1)
    made = find_decoder("boxes", {"detections": 5}).decode({"boxes": boxes, "scores": scores}, {})
    np.testing.assert_allclose(made["scores"].values, scores[0, :-6:-1, 0])


@pytest.mark.parametrize(
    "options",
    [
        {"form": "xy"},
        {"candidates": 0},
        {"candidates": 10**9},
        {"detections": 0},
        {"iou_max": 1.5},
        {"clip": [3]},
        {"threshold": "0.5"},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    refuse_options(options)


def test_scores_of_other_boxes_are_refused():
    refuse({}, {"boxes": np.zeros((2, 5, 4)), "scores": np.zeros((2, 6, 3))})
    refuse({}, {"boxes": np.zeros((2, 5, 4)), "scores": np.zeros((3, 5, 3))})
