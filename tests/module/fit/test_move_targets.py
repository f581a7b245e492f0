"""Boxes and masks stay on what they are of, whatever the augmentation does to a picture."""

from __future__ import annotations

import pytest
import torch

from toolchain.module.fit.augment import Moves, augment_images
from toolchain.module.fit.move_targets import move_targets
from toolchain.tasks import Movement


def draw_scene(x1=3, y1=5, x2=9, y2=12, size=16):
    picture = torch.zeros(1, 1, size, size)
    picture[:, :, y1:y2, x1:x2] = 1.0
    return picture, torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32)


def find_box(picture):
    rows, columns = torch.nonzero(picture[0] > 0.5, as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


def test_a_box_and_a_mask_move_as_the_picture_does():
    generator = torch.Generator().manual_seed(0)
    scenes = [draw_scene() for _ in range(32)]
    pictures = torch.cat([picture for picture, _ in scenes])
    targets = {
        "boxes": [boxes for _, boxes in scenes],
        "classes": [torch.tensor([7]) for _ in scenes],
        "mask": (pictures[:, 0] > 0).long(),
    }
    images, moves = augment_images(pictures, crop_padding=3, flip=True, generator=generator)
    moved = move_targets(targets, {"boxes": Movement("boxes"), "mask": Movement("mask")}, moves, size=(16, 16))
    assert moves.mirrored.any()
    assert not moves.mirrored.all()
    assert len({(int(top), int(left)) for top, left in zip(moves.top, moves.left, strict=True)}) > 5
    for image, boxes, mask, classes in zip(images, moved["boxes"], moved["mask"], moved["classes"], strict=True):
        assert boxes.tolist() == [find_box(image)]
        assert torch.equal(mask == 1, image[0] > 0.5)
        assert classes.tolist() == [7]


def move_once(boxes, *, top, left, padding=4, mirrored=False, **others):
    moves = Moves(
        padding=padding, top=torch.tensor([top]), left=torch.tensor([left]), mirrored=torch.tensor([mirrored])
    )
    return move_targets({"boxes": [boxes], **others}, {"boxes": Movement("boxes")}, moves, size=(16, 16))


def test_a_box_that_leaves_the_picture_goes_with_its_class_and_one_at_the_border_is_cut():
    boxes = torch.tensor([[0.0, 0.0, 3.0, 16.0], [2.0, 2.0, 8.0, 8.0], [10.0, 0.0, 16.0, 4.0]])
    moved = move_once(boxes, top=4, left=8, classes=[torch.tensor([1, 2, 3])])
    assert moved["boxes"][0].tolist() == [[0.0, 2.0, 4.0, 8.0], [6.0, 0.0, 12.0, 4.0]]
    assert moved["classes"][0].tolist() == [2, 3]


def test_a_picture_without_boxes_stays_without():
    moved = move_once(torch.zeros(0, 4), top=0, left=0, classes=[torch.zeros(0, dtype=torch.long)])
    assert (tuple(moved["boxes"][0].shape), len(moved["classes"][0])) == ((0, 4), 0)


def test_what_comes_into_a_mask_from_beyond_the_border_is_nothings():
    moves = Moves(padding=2, top=torch.tensor([0]), left=torch.tensor([2]), mirrored=torch.tensor([False]))
    moved = move_targets(
        {"mask": torch.ones(1, 4, 4, dtype=torch.long)}, {"mask": Movement("mask")}, moves, size=(4, 4)
    )
    assert moved["mask"][0].tolist() == [[255] * 4, [255] * 4, [1] * 4, [1] * 4]


def test_labels_do_not_move():
    labels = torch.tensor([3])
    moves = Moves(padding=1, top=torch.tensor([0]), left=torch.tensor([0]), mirrored=torch.tensor([True]))
    assert move_targets({"labels": labels}, {}, moves, size=(4, 4)) == {"labels": labels}
    with pytest.raises(ValueError, match="nothing moves as"):
        move_targets({"labels": labels}, {"labels": Movement("sounds")}, moves, size=(4, 4))


def draw_points(x, y, size=16):
    picture = torch.zeros(1, 1, size, size)
    picture[0, 0, y, x] = 1.0
    return picture


@pytest.mark.parametrize("ragged", [False, True])
def test_a_point_moves_as_its_pixel_does_and_one_that_leaves_the_picture_is_not_visible(ragged):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.cat([draw_points(1, 5)] * 64)
    points = torch.tensor([[[1.0, 5.0, 2.0]]] * 64)
    images, moves = augment_images(
        torch.nn.functional.pad(pictures, (0, 0)), crop_padding=3, flip=True, generator=generator
    )
    given = [rows[None] for rows in points] if ragged else points
    moved = move_targets({"points": given}, {"points": Movement("points")}, moves, size=(16, 16))["points"]
    assert isinstance(moved, list) == ragged
    left = 0
    for image, rows in zip(images, moved, strict=True):
        x, y, seen = rows.reshape(3).tolist()
        assert (seen == 2.0) == bool((image > 0.5).any())
        if seen:
            assert image[0, int(y), int(x)] == 1.0
        left += seen == 0
    assert 0 < left < 64


def test_in_a_mirror_the_points_of_a_pair_change_places_and_no_others_do():
    points = torch.tensor([[[1.0, 2.0, 1.0], [5.0, 2.0, 2.0], [3.0, 3.0, 1.0]]] * 2)
    moves = Moves(padding=0, top=torch.tensor([0, 0]), left=torch.tensor([0, 0]), mirrored=torch.tensor([True, False]))
    moved = move_targets({"points": points}, {"points": Movement("points", pairs=((0, 1),))}, moves, size=(8, 8))
    assert moved["points"][0].tolist() == [[2.0, 2.0, 2.0], [6.0, 2.0, 1.0], [4.0, 3.0, 1.0]]
    assert moved["points"][1].tolist() == points[1].tolist()


def test_a_point_that_was_not_visible_stays_so():
    moves = Moves(padding=0, top=torch.tensor([0]), left=torch.tensor([0]), mirrored=torch.tensor([False]))
    points = torch.tensor([[[float("nan"), 2.0, 0.0]]])
    moved = move_targets({"points": points}, {"points": Movement("points")}, moves, size=(8, 8))["points"]
    assert moved[0, 0, 2] == 0
