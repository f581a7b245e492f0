import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.preprocess.place import Placement, place_frame

SIDES = st.integers(1, 2000)


def place(width, height, resize, share=1.0, *, into=(96, 64)):
    return place_frame(width, height, width=into[0], height=into[1], resize=resize, crop_share=share)


def test_a_letterbox_is_in_the_middle_and_a_half_pixel_goes_to_the_right():
    assert place(200, 100, "letterbox") == Placement(0, 8, 96, 48, 200, 100)
    assert place(100, 99, "letterbox") == Placement(15, 0, 65, 64, 100, 99)


def test_a_crop_covers_the_input_and_loses_the_same_on_both_sides():
    assert place(100, 100, "crop") == Placement(0, -16, 96, 96, 100, 100)
    assert place(96, 64, "crop", 0.5) == Placement(-48, -32, 192, 128, 96, 64)


@given(width=SIDES, height=SIDES, resize=st.sampled_from(["letterbox", "stretch", "crop"]))
def test_a_letterbox_stays_inside_and_a_crop_leaves_nothing_empty(width, height, resize):
    at = place(width, height, resize)
    inside = at.left >= 0 and at.top >= 0 and at.left + at.width <= 96 and at.top + at.height <= 64
    covers = at.left <= 0 and at.top <= 0 and at.left + at.width >= 96 and at.top + at.height >= 64
    assert inside if resize != "crop" else covers
    assert covers if resize == "stretch" else True


@given(width=SIDES, height=SIDES, resize=st.sampled_from(["letterbox", "stretch"]))
def test_boxes_come_back_to_where_they_were(width, height, resize):
    at = place(width, height, resize)
    boxes = np.array([[0, 0, width, height], [width / 4, height / 3, width / 2, height / 1.5]])
    moved = at.move_points(boxes.reshape(-1, 2)).reshape(-1, 4).astype(np.float32)
    assert np.abs(at.restore_boxes(moved) - boxes).max() <= 1e-3 * max(width, height) / 96


def test_boxes_are_not_restored_by_the_fraction_before_rounding():
    at = place(1000, 333, "letterbox")  # 31.968 high, which is 32
    box = np.array([[0, at.top, 96, at.top + at.height]], np.float32)
    assert at.restore_boxes(box).tolist() == [[0, 0, 1000, 333]]
    unrounded = (box[0, 3] - at.top) / min(96 / 1000, 64 / 333)
    assert abs(unrounded - 333) > 0.3


def test_boxes_end_where_the_frame_does_and_a_nan_stays_one():
    at = place(200, 100, "letterbox")
    restored = at.restore_boxes(np.array([[-9, 0, 99, 64], [np.nan, 8, 1, 9]], np.float32))
    assert restored[0].tolist() == [0, 0, 200, 100]
    assert np.isnan(restored[1, 0])
    assert restored.dtype == np.float32


def test_a_mask_comes_back_in_the_size_of_the_frame():
    at = place(192, 96, "letterbox")
    mask = np.zeros((64, 96), np.int32)
    mask[at.top : at.top + 24] = 1
    restored = at.restore_mask(mask, unseen=-1)
    assert restored.shape == (96, 192)
    assert (restored[:48] == 1).all()
    assert (restored[48:] == 0).all()
    unseen = place(192, 192, "crop").restore_mask(mask, unseen=-1)
    assert (unseen[0] == -1).all()
    assert (unseen[96] != -1).all()


@pytest.mark.parametrize(("width", "height", "resize"), [(95, 64, "none"), (96, 63, "none"), (0, 4, "letterbox")])
def test_a_frame_of_another_size_is_refused_where_nothing_resizes(width, height, resize):
    with pytest.raises(ToolchainError) as caught:
        place(width, height, resize)
    assert caught.value.code == ExitCode.USAGE
    assert f"found {width}x{height}" in str(caught.value)


def test_a_frame_of_the_size_is_taken_as_it_is():
    assert place(96, 64, "none") == Placement(0, 0, 96, 64, 96, 64)
